"""Screenshots of every page for the README: `make screenshots` writes them into docs/images.

The system is real, with a simulated day of payments whose times are moved into the past, so that
charts and lists look as in use.
"""

import json
import random
import sys
import tempfile
import urllib.request
from itertools import chain
from pathlib import Path
from typing import cast

from PIL import Image, ImageChops
from playwright.sync_api import Browser, sync_playwright

from payments_local.settings import REPOSITORY
from testkit.browser.actions import make_dead_letters, pay_elsewhere
from testkit.browser.chromium import PHONE, Visitor, find_chromium, launched_chromium
from testkit.browser.whole_system import WholeSystem, guarded_page, whole_system
from testkit.sign_in.oidc_provider import provider_settings, running_provider

IMAGES = REPOSITORY / "docs/images"
WIDE = {"width": 1360, "height": 860}
WINDOWS = {"desktop": WIDE, "phone": PHONE}
HEIGHT_MAX = 1500  # Pixels; longer pages are cropped.
SURFACES = 16  # Flat colours that cover most of a page.
COLOURS = 256  # A palette's limit, and enough for text on flat colours.
ACCOUNTS = (
    "acme-gmbh",
    "northwind.trading",
    "blue-harbor-logistics",
    "atelier:paris",
    "orchid-foods",
    "lumen-energy",
)
DESCRIPTIONS = (
    "Invoice 2026-1143",
    "Rent, November",
    "Consulting, October",
    "Refund of order 88121",
    "Freight Rotterdam – Oslo",
    "Subscription, yearly",
    "Deposit",
    "",
)
CURRENCIES = ("USD", "USD", "USD", "USD", "EUR", "EUR", "GBP", "JPY")
PAYMENTS = 260

# The ledger rejects updates even by its owner; the triggers are disabled only for screenshots.
MOVE_INTO_THE_PAST = """
SET session_replication_role = replica;
CREATE TEMP TABLE moved AS
  SELECT id, created_at AS was, now() - interval '3 minutes'
    - (row_number() OVER (ORDER BY id DESC)) * interval '197 seconds'
    - (abs(hashtext(id::text)) % 150) * interval '1 second' AS new_at
  FROM payments;
UPDATE payments p SET created_at = new_at, settled_at = new_at + (settled_at - was),
  updated_at = new_at + (updated_at - was) FROM moved m WHERE m.id = p.id;
UPDATE ledger_entries e SET created_at = new_at + (created_at - was) FROM moved m
  WHERE m.id = e.payment_id;
UPDATE accounts a SET updated_at = last.at FROM (
  SELECT account_id, currency, max(created_at) AS at FROM ledger_entries GROUP BY 1, 2) AS last
  WHERE (a.account_id, a.currency) = (last.account_id, last.currency);
UPDATE reconciliation_results r SET created_at = new_at + (created_at - was) FROM moved m
  WHERE m.id = r.payment_id;
UPDATE recon_jobs j SET created_at = new_at, locked_at = new_at + (locked_at - was),
  updated_at = new_at + (updated_at - was) FROM moved m WHERE m.id = j.payment_id;
DELETE FROM worker_throughput;
INSERT INTO worker_throughput (bucket_start, worker_id, completed, failed, discrepancy)
  SELECT date_bin('10 seconds', now(), '2000-01-01') - n * interval '10 seconds', 'drawn',
    150 + (60 * sin(n / 9.0))::int + abs(hashtext('c' || n)) % 40 + (CASE WHEN n < 30 THEN 90
    ELSE 0 END), CASE WHEN n % 13 = 4 THEN 6 ELSE 0 END, abs(hashtext('d' || n)) % 9
  FROM generate_series(1, 89) n
"""


def make_history(system: WholeSystem) -> None:
    """Create a day of payments; three become dead letters, and an operator settles one of them."""
    chance = random.Random(11)
    orders = []
    for number in range(PAYMENTS):
        currency = chance.choice(CURRENCIES)
        whole = chance.randint(8, 9000)
        cents = 13 if number % 19 == 7 else chance.randint(0, 99)
        amount = f"{whole * 90}" if currency == "JPY" else f"{whole}.{cents:02d}"
        orders.append(
            {
                "idempotencyKey": f"drawn-{number}",
                "accountId": chance.choice(ACCOUNTS),
                "amount": f"-{amount}" if number % 31 == 12 else amount,
                "currency": currency,
                "description": chance.choice(DESCRIPTIONS),
            }
        )
    # A few at a time, so that ids, postings and times have one order, as in real use.
    for start in range(0, PAYMENTS, 10):
        post(system, "/payments/batch", {"payments": orders[start : start + 10]})
        wait_until_pending(system, 0)
    error = "canceling statement due to lock timeout while locking tuple (12,4) in accounts"
    dead = make_dead_letters(system, "kestrel_eu", 4, error)
    post(system, f"/jobs/{dead[0]}/replay", {"actor": "Ada Lovelace", "reason": "Lock is gone"})
    wait_until_pending(system, len(dead) - 1)
    system.sql(MOVE_INTO_THE_PAST)


def wait_until_pending(system: WholeSystem, count: int) -> None:
    """Wait until so many payments remain pending."""
    query = "SELECT count(*) FROM payments WHERE settled_at IS NULL"
    while system.sql(query) != str(count):
        system.sql("SELECT pg_sleep(0.05)")


def post(system: WholeSystem, path: str, body: object) -> None:
    """POST to the API, without the page."""
    request = urllib.request.Request(
        system.api_url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


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
            page.screenshot(path=picture, clip=clip, full_page=True)  # type: ignore[arg-type]
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
    system.worker.stop()
    for account, amount in (("acme-gmbh", "1250.00"), ("orchid-foods", "89.90")):
        pay_elsewhere(system, account, amount)
    photographer.take("payments", "/")
    system.worker.start()
    photographer.take("payments-filtered", "/?account=acme-gmbh&status=completed&currency=USD")
    photographer.take("payment", f"/payments/{plain}")
    photographer.take("payment-discrepancy", f"/payments/{odd}")
    photographer.take("payment-failed", f"/payments/{failed}")
    photographer.take("payment-dead-letter", f"/payments/{dead}")
    photographer.take("account", "/accounts/acme-gmbh")
    photographer.take("confirm", f"/operate/jobs/{job}/discard")
    photographer.take("not-found", "/payments/none", full_page=False)
    for visitor in photographer.visitors.values():
        visitor.open_live()
    system.proxy.cut()
    for visitor in photographer.visitors.values():
        visitor.page.locator("#behind").wait_for(state="visible")
    photographer.take("behind", None, full_page=False)


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
            at_provider.close()
        finally:
            for service in (page, by_password):
                service.stop()


def main() -> None:
    """Run the system, create its history and take the screenshots."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium on PATH (Debian's package is called chromium)")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        whole_system(Path(folder)) as system,
        sync_playwright() as playwright,
        launched_chromium(playwright, executable) as browser,
    ):
        make_history(system)
        take_signing_in(browser, system, Path(folder))
        photographer = Photographer(browser, system.url)
        take_all(photographer, system)
        photographer.close()


if __name__ == "__main__":
    main()
