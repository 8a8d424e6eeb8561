"""A visitor: one browser context, and the errors that occurred in it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator, Page, Playwright, Request, expect

from testkit.waiting import WAIT_SECONDS_MAX

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
AXE = Path(__file__).parent / "vendor/axe.min.js"
# Chromium's sandbox does not work as root; the other options prevent requests to its vendor.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
OPEN_TRIES_MAX = 5
WAIT_MS_MAX = 1000 * WAIT_SECONDS_MAX
NETWORK_TROUBLE = (
    "Failed to load resource",
    "htmx: htmx:error: Failed to fetch",
    "htmx: htmx:sse:error",
)
REPORT = """document.addEventListener("securitypolicyviolation",
  (event) => console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI}`))"""

expect.set_options(timeout=WAIT_MS_MAX)
# The first has no windows, and takes a fifth less of the processor time of a test.
CHROMIUM_NAMES = (
    *("chromium-headless-shell", "chromium"),
    *("chromium-browser", "google-chrome-stable", "google-chrome"),
)


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def launched_chromium(playwright: Playwright, executable: str) -> Iterator[Browser]:
    """Run a headless Chromium while the block runs."""
    launched = playwright.chromium.launch(executable_path=executable, args=FLAGS)
    try:
        yield launched
    finally:
        launched.close()


class Visitor:
    """One person with a browser window."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.violations: list[str] = []
        options = {
            "viewport": DESKTOP,
            "locale": "en-GB",
            "timezone_id": "Europe/Vienna",
        } | options
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(WAIT_MS_MAX)
        if options.get("java_script_enabled", True):
            self.context.add_init_script(REPORT)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.violations.append(f"script: {error}"))
        self._network_changed = False
        self.page.on("requestfailed", self._request_failed)
        self.page.on("console", lambda message: self._console(message.type, message.text))

    def _console(self, kind: str, text: str) -> None:
        # Chromium and htmx log rejected and lost answers, which these tests cause on purpose.
        if kind == "error" and not text.startswith(NETWORK_TROUBLE):
            self.violations.append(text)

    def open(self, path: str = "/") -> Page:
        """Open the page.

        Repeats if Chromium aborts because the machine's network changed: it does so even for
        localhost, whenever a container's interface appears or disappears.
        """
        for _ in range(OPEN_TRIES_MAX):
            self._network_changed = False
            try:
                self.page.goto(self.url + path)
            except Error:
                if not self._network_changed:
                    raise
            if not self._network_changed:
                break
        return self.page

    def _request_failed(self, request: Request) -> None:
        if "ERR_NETWORK_CHANGED" in (request.failure or ""):
            self._network_changed = True

    def open_live(self, path: str = "/") -> Page:
        """Open the page, and wait until it receives changes."""
        page = self.open(path)
        expect(page.locator("html")).to_have_attribute("data-connection", "live")
        return page

    def fill(self, account: str, amount: str, description: str = "", currency: str = "USD") -> None:
        """Fill in a payment without sending it."""
        page = self.page
        page.get_by_label("Account", exact=True).first.fill(account)
        page.locator("#amount").fill(amount)
        page.locator("#currency").select_option(currency)
        page.locator("#description").fill(description)

    def pay(self, account: str, amount: str, description: str = "", currency: str = "USD") -> str:
        """Pay, wait for the receipt, and return the payment's id."""
        self.fill(account, amount, description, currency)
        self.pay_button.click()
        link = self.page.locator(".receipt-amount")
        expect(link).to_be_visible()
        return (link.get_attribute("href") or "").rsplit("/", 1)[-1]

    @property
    def pay_button(self) -> Locator:
        """Return the button of the payment form."""
        return self.page.locator("#pay button[type=submit]")

    def row(self, payment_id: str) -> Locator:
        """Return the payment's row in the list."""
        return self.page.locator(f"#p-{payment_id}")

    def axe_findings(self, *only: str) -> list[str]:
        """Return axe-core's findings against WCAG 2.2 AA, or the named rules, one line each."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            "runOnly => axe.run(document, {runOnly, resultTypes: ['violations']})",
            list(only or WCAG),
        )
        return [
            f"{each['id']}: {json.dumps([node['html'][:160] for node in each['nodes'][:3]])}"
            for each in found["violations"]
        ]

    def close(self) -> None:
        """Close the window."""
        self.context.close()
