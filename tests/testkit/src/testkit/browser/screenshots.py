"""Screenshots of every page: `make screenshots` writes them into .data/screenshots.

The README's is copied into docs/images.

The system is real, with a simulated day of payments. Empty, waiting and failing states are taken of
the same system, before that day and with the API cut off.
"""

import shutil
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import cast

from PIL import Image, ImageChops
from playwright.sync_api import Browser, sync_playwright

from payments_local.settings import REPOSITORY
from testkit.browser.actions import pay_elsewhere
from testkit.browser.back_office import (
    BANK,
    DELIVERY,
    WEBHOOK,
    a_break,
    make_bank,
    make_webhooks,
    quarantined_file,
)
from testkit.browser.chromium import PHONE, Visitor, find_chromium, launched_chromium
from testkit.browser.history import make_history
from testkit.browser.whole_system import WholeSystem, guarded_page, whole_system
from testkit.sign_in.oidc_provider import provider_settings, running_provider

IMAGES = REPOSITORY / ".data/screenshots"
OF_README = "payments-desktop-light.png"
WIDE = {"width": 1360, "height": 860}
WINDOWS = {"desktop": WIDE, "phone": PHONE}
HEIGHT_MAX = 1500  # Pixels; longer pages are cropped.
SURFACES = 16  # Flat colours that cover most of a page.
COLOURS = 256  # A palette's limit, and enough for text on flat colours.


class Photographer:
    """Takes every screenshot in both themes and both sizes."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.visitors = {
            f"{size}-{theme}": Visitor(
                browser,
                url,
                viewport=window,
                color_scheme=theme,
                reduced_motion="reduce",
                device_scale_factor=2 if size == "phone" else 1,
            )
            for size, window in WINDOWS.items()
            for theme in ("light", "dark")
        }

    def take(self, name: str, path: str | None, full_page: bool = True) -> None:
        """Take a screenshot of the path's page, or of the current one."""
        for kind, visitor in self.visitors.items():
            page = visitor.page
            if path is not None:
                visitor.open(path)
                page.wait_for_timeout(600)
            picture = IMAGES / f"{name}-{kind}.png"
            height = page.evaluate("document.documentElement.scrollHeight") if full_page else 0
            window = page.viewport_size
            assert window is not None
            clip = {"x": 0, "y": 0, "width": window["width"]}
            clip["height"] = min(max(height, window["height"]), HEIGHT_MAX)
            page.screenshot(path=picture, clip=clip, full_page=True)  # type: ignore[arg-type]  # A plain dict.
            shrink(picture)

    def enter(self, user: str) -> None:
        """Sign in through the provider."""
        for visitor in self.visitors.values():
            page = visitor.open("/sign-in/start")
            page.get_by_role("link", name=f"Continue as {user}").click()
            page.wait_for_timeout(300)

    def close(self) -> None:
        """Close every window."""
        for visitor in self.visitors.values():
            visitor.close()


def shrink(picture: Path) -> None:
    """Reduce the file: keep the commonest colours exactly, map the rest to the nearest of them."""
    with Image.open(picture) as opened:
        full = opened.convert("RGB")
    counted = full.getcolors(full.width * full.height) or []
    common = [colour for _, colour in sorted(counted, reverse=True)[:COLOURS]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(bytes(chain.from_iterable(cast(list[tuple[int, int, int]], common))))
    small = full.quantize(palette=palette, dither=Image.Dither.NONE)
    # Pillow does not always map a colour to itself; surfaces must be exact.
    for index, colour in enumerate(common[:SURFACES]):
        flat = Image.new("RGB", full.size, cast(tuple[int, int, int], colour))
        distance = ImageChops.difference(full, flat).convert("L", matrix=(1, 1, 1, 0))
        small.paste(index, mask=distance.point([255] + [0] * 255))
    small.save(picture, optimize=True)


def take_empty(photographer: Photographer) -> None:
    """Take the pages that a new system shows."""
    photographer.take("empty-payments", "/")
    photographer.take("empty-accounts", "/accounts", full_page=False)
    photographer.take("empty-operate", "/operate")
    photographer.take("empty-statements", "/statements", full_page=False)
    photographer.take("empty-webhooks", "/webhooks", full_page=False)


def take_all(photographer: Photographer, system: WholeSystem) -> None:
    """Take every page, and its notable states."""
    odd, failed, plain = (
        system.sql(
            f"SELECT payment_id FROM reconciliation_results WHERE status = '{status}' LIMIT 1"
        )
        for status in ("completed_with_discrepancy", "failed", "completed")
    )
    job = system.sql("SELECT id FROM recon_jobs WHERE status = 'failed' ORDER BY id LIMIT 1")
    dead = system.sql(f"SELECT payment_id FROM recon_jobs WHERE id = {job}")
    photographer.take("operate", "/operate")
    photographer.take("payments", "/")
    system.worker.stop()
    for account, amount in (("acme-gmbh", "1250.00"), ("orchid-foods", "89.90")):
        pay_elsewhere(system, account, amount)
    photographer.take("no-worker", "/", full_page=False)
    system.worker.start()
    photographer.take("payments-filtered", "/?account=acme-gmbh&status=completed&currency=USD")
    photographer.take("payment", f"/payments/{plain}")
    photographer.take("payment-discrepancy", f"/payments/{odd}")
    photographer.take("payment-failed", f"/payments/{failed}")
    photographer.take("payment-dead-letter", f"/payments/{dead}")
    photographer.take("account", "/accounts/acme-gmbh")
    photographer.take("accounts", "/accounts")
    photographer.take("search", "/search?q=refund", full_page=False)
    photographer.take("help", "/help")
    photographer.take("reverse", f"/payments/{plain}/reverse", full_page=False)
    photographer.take("confirm", f"/operate/jobs/{job}/discard")
    photographer.take("confirm-several", "/operate/replay?account=kestrel_eu", full_page=False)
    photographer.take("empty-list", "/?account=acme-gmbh&status=failed&currency=CHF", False)
    photographer.take("empty-search", "/search?q=no+such+invoice", full_page=False)
    photographer.take("not-found", "/payments/none", full_page=False)


def take_back_office(photographer: Photographer, system: WholeSystem) -> None:
    """Take the statements of a bank, and the webhooks."""
    photographer.take("statements", "/statements", full_page=False)
    photographer.take("breaks", f"/statements/{BANK}")
    photographer.take("break", a_break(system))
    photographer.take("statement-quarantined", quarantined_file(system))
    photographer.take("statement-day", f"/statements/{BANK}/day")
    photographer.take("webhooks", "/webhooks", full_page=False)
    photographer.take("webhook", WEBHOOK)
    photographer.take("webhook-delivery", DELIVERY)
    photographer.take("webhook-new", "/webhooks/new")


def take_trouble(photographer: Photographer, system: WholeSystem) -> None:
    """Take what the page shows while an answer is awaited, and while the API is away."""
    visitors = photographer.visitors.values()
    for visitor in visitors:
        visitor.open_live()
        visitor.fill("acme-gmbh", "-12.00", "Checked before it is sent")
    photographer.take("warned", None, full_page=False)
    for visitor in visitors:
        visitor.page.route("**/payments", lambda _: None)  # The request stays without an answer.
        visitor.pay_button.click(no_wait_after=True)
    photographer.take("paying", None, full_page=False)
    for visitor in visitors:
        visitor.page.evaluate("sessionStorage.clear()")  # The form keeps what was typed.
        visitor.open_live()
        visitor.page.unroute_all()  # Only now: it would let the payment through.
    system.proxy.cut()
    for visitor in visitors:
        visitor.page.locator("#behind").wait_for(state="visible")
    photographer.take("behind", None, full_page=False)
    for visitor in visitors:
        visitor.fill("acme-gmbh", "12.00")
        visitor.pay_button.click()
    photographer.take("not-paid", None, full_page=False)
    photographer.take("away-operate", "/operate", full_page=False)
    photographer.take("away-payment", "/payments/01936f5e-3c7a-7000-8000-000000000000", False)


def take_signing_in(browser: Browser, system: WholeSystem, folder: Path) -> None:
    """Take the sign-in page, a viewer's view, and the errors."""
    with running_provider() as provider:
        page = guarded_page(system, folder, {})
        url = f"http://127.0.0.1:{page.port}"
        page.environ = {**page.environ, **provider_settings(provider, url)}
        by_password = guarded_page(system, folder, {"PAYMENTS_UI_SIGN_IN": "password"})
        by_password.environ = {**by_password.environ, "PAYMENTS_UI_PASSWORD": "made by a machine"}
        for service in (page, by_password):
            service.start()
        try:
            at_password = Photographer(browser, f"http://127.0.0.1:{by_password.port}")
            at_password.take("sign-in-password", "/operate", full_page=False)
            at_password.close()
            at_provider = Photographer(browser, url)
            at_provider.take("sign-in", "/", full_page=False)
            at_provider.enter("edsger")
            at_provider.take("sign-in-no-role", None, full_page=False)
            at_provider.enter("grace")
            at_provider.take("payments-viewer", "/")
            at_provider.take("forbidden", "/operate/replay", full_page=False)
            for visitor in at_provider.visitors.values():
                visitor.context.clear_cookies()
            at_provider.enter("ada")
            for visitor in at_provider.visitors.values():
                visitor.open("/operate")
                visitor.page.locator(".who summary").click()
            at_provider.take("signed-in", None, full_page=False)
            for visitor in list(at_provider.visitors.values())[:1]:
                visitor.open()
                for account, amount in (("acme-gmbh", "320.00"), ("orchid-foods", "45.50")):
                    visitor.pay(account, amount)
            at_provider.take("activity", "/activity")
            for visitor in at_provider.visitors.values():
                visitor.open()
                visitor.page.locator(".who summary").click()
                visitor.page.get_by_role("button", name="Sign out").click()
                visitor.page.locator("[data-signed-out]").wait_for()
            at_provider.take("signed-out", None, full_page=False)
            at_provider.close()
        finally:
            for service in (page, by_password):
                service.stop()


def main() -> None:
    """Run the system, create its history and take the screenshots."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium on PATH (in Debian, the package chromium-headless-shell)")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        whole_system(Path(folder)) as system,
        sync_playwright() as playwright,
        launched_chromium(playwright, executable) as browser,
    ):
        photographer = Photographer(browser, system.url)
        take_empty(photographer)
        make_history(system)
        take_signing_in(browser, system, Path(folder))
        take_all(photographer, system)
        make_bank(system)
        make_webhooks(system)
        take_back_office(photographer, system)
        take_trouble(photographer, system)
        photographer.close()
    shutil.copy(IMAGES / OF_README, REPOSITORY / "docs/images" / OF_README)


if __name__ == "__main__":
    main()
