"""The pages of payments and accounts: events and amounts."""

import csv
import io
import re

from playwright.sync_api import expect

from testkit.browser.actions import pay_elsewhere
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import TRACE_URL, WholeSystem


def test_the_payment_page_shows_every_event(visitor: Visitor, system: WholeSystem) -> None:
    visitor.open_live()
    payment_id = visitor.pay("acct_story", "250.00", "Rent")
    page = visitor.open_live(f"/payments/{payment_id}")
    titles = page.locator(".timeline .step-title")
    expect(titles).to_have_count(4)
    expect(titles.nth(0)).to_contain_text("Created")
    expect(titles.nth(1)).to_contain_text("Claimed by")
    expect(titles.nth(2)).to_contain_text("Reconciled: matched")
    expect(titles.nth(3)).to_contain_text("Posted to the ledger")
    legs = page.locator(".ledger-table tbody tr")
    expect(legs).to_have_count(2)
    expect(legs.nth(0).locator(".cell-credit")).to_contain_text("250.00 USD")
    expect(legs.nth(1).locator(".cell-debit")).to_contain_text("250.00 USD")
    identity = page.get_by_role("region", name="Identifiers")
    expect(identity).to_contain_text(payment_id)
    trace = system.sql(
        f"SELECT split_part(traceparent, '-', 2) FROM payments WHERE id = '{payment_id}'"
    )
    expect(identity.locator(".trace-link")).to_have_attribute(
        "href", TRACE_URL.format(trace_id=trace)
    )


def test_an_open_payment_page_updates_live(visitor: Visitor, system: WholeSystem) -> None:
    system.worker.stop()
    try:
        payment_id = pay_elsewhere(system, "acct_follow", "5.13")
        page = visitor.open_live(f"/payments/{payment_id}")
        expect(page.locator(".hero .badge")).to_have_text("Pending")
        expect(page.locator(".timeline")).to_contain_text("In the queue")
    finally:
        system.worker.start()
    expect(page.locator(".hero .badge")).to_have_text("Discrepancy")
    expect(page.locator(".timeline")).to_contain_text("differs by 0.13 USD")


def test_the_account_page_shows_balances_and_updates_live(
    visitor: Visitor, system: WholeSystem
) -> None:
    for amount in ("100.00", "50.50", "0.13"):
        pay_elsewhere(system, "acct_sum", amount)
    page = visitor.open_live("/accounts/acct_sum")
    expect(page.locator(".hero-amount")).to_have_text("150.63 USD")
    expect(page.locator(".chart .line")).to_have_attribute("d", re.compile("^M"))
    expect(page.locator(".statement-table tbody tr")).to_have_count(3)
    pay_elsewhere(system, "acct_sum", "49.37")
    expect(page.locator(".hero-amount")).to_have_text("200.00 USD")
    expect(page.locator(".statement-table tbody tr")).to_have_count(4)
    page.locator(".chart-plot").hover()
    expect(page.locator(".chart-tip")).to_contain_text("USD")


def test_the_statement_can_be_downloaded(visitor: Visitor, system: WholeSystem) -> None:
    for amount in ("10.00", "2.50"):
        pay_elsewhere(system, "acct_csv", amount)
    page = visitor.open_live("/accounts/acct_csv")
    expect(page.locator(".hero-amount")).to_have_text("12.50 USD")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [(row["Credit"], row["Balance"]) for row in rows] == [
        ("2.50", "12.50"),
        ("10.00", "10.00"),
    ]
    assert download.value.suggested_filename == "statement-acct_csv-USD.csv"


def test_an_unknown_account_is_shown_as_empty(visitor: Visitor) -> None:
    page = visitor.open_live("/accounts/acct_nobody")
    expect(page.locator(".hero")).to_contain_text("it has no balance")
    expect(page.locator(".hero-amount")).to_have_count(0)
    expect(page.locator(".empty-title")).to_have_text("No postings in USD")


def test_unknown_ids_are_shown_as_not_found(visitor: Visitor) -> None:
    page = visitor.open("/payments/00000000-0000-7000-8000-000000000000")
    expect(page.locator("h1")).to_have_text("Payment not found")
    page = visitor.open("/no/such/page")
    expect(page.locator("h1")).to_have_text("Page not found")
