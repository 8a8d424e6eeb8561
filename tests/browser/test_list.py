"""The list of payments: live, filtered, paged, and searched."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from playwright.sync_api import expect

from testkit.browser.actions import pay_elsewhere, wait_until_settled
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


def test_other_clients_payments_appear_and_settle_live(
    visitor: Visitor, system: WholeSystem
) -> None:
    visitor.open_live()
    payment_id = pay_elsewhere(system, "acct_other", "21.00")
    expect(visitor.row(payment_id).locator(".badge")).to_have_text("Completed")
    expect(visitor.page.locator("#rows tr").first).to_have_id(f"p-{payment_id}")


def test_filters_apply_to_listed_and_new_payments(visitor: Visitor, system: WholeSystem) -> None:
    odd = pay_elsewhere(system, "acct_filter", "5.13", "EUR")
    fine = pay_elsewhere(system, "acct_filter", "6.00", "EUR")
    dollars = pay_elsewhere(system, "acct_filter", "7.00")
    page = visitor.open_live()
    expect(visitor.row(dollars).locator(".badge")).to_have_text("Completed")
    page.get_by_label("Account", exact=True).last.fill("acct_filter")
    page.locator("#f-currency").select_option("EUR")
    expect(page.locator("#rows tr")).to_have_count(2)
    page.locator("#f-status").select_option("discrepancy")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(visitor.row(odd)).to_be_visible()
    assert "account=acct_filter" in page.url
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    late_odd = pay_elsewhere(system, "acct_filter", "8.13", "EUR")
    late_fine = pay_elsewhere(system, "acct_filter", "9.00", "EUR")
    expect(visitor.row(late_odd)).to_be_visible()
    expect(visitor.row(late_fine)).to_have_count(0)
    expect(visitor.row(fine)).to_have_count(0)


def test_time_filters_use_the_readers_time_zone(visitor: Visitor, system: WholeSystem) -> None:
    payment_id = pay_elsewhere(system, "acct_times", "1.00")
    page = visitor.open_live("/?account=acct_times")
    expect(visitor.row(payment_id)).to_be_visible()
    later = page.evaluate(
        "new Date(Date.now() + 3600e3 - new Date().getTimezoneOffset() * 60e3)"
        ".toISOString().slice(0, 16)"
    )
    page.locator("#f-start").fill(later)
    page.locator("#f-start").dispatch_event("change")
    expect(page.locator("#list .empty-title")).to_have_text("No payments match")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert in_an_hour.strftime("start=%Y-%m-%dT%H") in page.url.replace("%3A", ":")
    page.locator("#f-start").fill("")
    page.locator("#f-end").fill(later)
    page.locator("#f-end").dispatch_event("change")
    expect(visitor.row(payment_id)).to_be_visible()


def test_a_page_of_older_payments_stays_unchanged_by_new_payments(
    visitor: Visitor, system: WholeSystem
) -> None:
    for number in range(30):
        pay_elsewhere(system, "acct_paged", f"{number + 1}.00")
    wait_until_settled(system, "acct_paged")
    # Wait until the page has received these changes, so that later ones are new.
    page = visitor.open_live("/?account=acct_paged")
    last = pay_elsewhere(system, "acct_paged", "31.00")
    expect(page.locator(f"#p-{last}")).to_have_attribute("data-status", "completed")
    # One more payment than fits on a page, so that the last row of this page stays last.
    expect(page.locator("#rows tr")).to_have_count(26)
    shown = page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.id)")
    page.get_by_role("link", name="Older").click()
    expect(page.locator("#rows tr")).to_have_count(5)
    shown += page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.id)")
    assert len(set(shown)) == 31, "each payment is on one of the pages"
    before = page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.id)")
    # A change of a payment on the newer page.
    system.sql(f"SELECT pg_notify('payment_changes', '{last}')")
    newcomer = pay_elsewhere(system, "acct_paged", "99.00")
    expect(page.locator("#newer")).to_have_text("1 newer payment")
    assert page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.id)") == before
    page.locator("#newer").click()
    expect(visitor.row(newcomer)).to_be_visible()
    page.go_back()
    expect(page.locator("#rows tr")).to_have_count(5)


def test_new_rows_wait_while_the_reader_points_at_the_list(
    visitor: Visitor, system: WholeSystem
) -> None:
    first = pay_elsewhere(system, "acct_hover", "1.00")
    page = visitor.open_live()
    visitor.row(first).hover()
    waiting = pay_elsewhere(system, "acct_hover", "2.00")
    expect(page.locator("#newer")).to_be_visible()
    expect(visitor.row(waiting)).to_have_count(0)
    page.locator("#newer").hover()
    pay_elsewhere(system, "acct_hover", "3.00")
    expect(page.locator("#newer")).to_have_text("2 newer payments")
    page.locator("#newer").click()
    expect(visitor.row(waiting)).to_be_visible()


def test_searching_an_id_opens_its_payment_or_account(
    visitor: Visitor, system: WholeSystem
) -> None:
    payment_id = pay_elsewhere(system, "acct_search", "2.00")
    page = visitor.open()
    search = page.get_by_role("searchbox")
    search.fill(payment_id)
    search.press("Enter")
    expect(page).to_have_url(f"{system.url}/payments/{payment_id}")
    expect(page.locator(".hero .badge")).to_have_text(
        "Completed"
    )  # The payment's account exists now.
    page.get_by_role("searchbox").fill("acct_search")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("h1")).to_have_text("acct_search")
    shown = f"{payment_id[:13]}…{payment_id[-4:]}"
    page.get_by_role("searchbox").fill(shown)
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(f"{system.url}/payments/{payment_id}")
    page.get_by_role("searchbox").fill("no such thing!")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("h1")).to_contain_text("Results for")
    expect(page.locator(".empty")).to_contain_text("Nothing found")


def test_times_are_local_with_exact_utc_on_hover(
    visit: Callable[..., Visitor], system: WholeSystem
) -> None:
    payment_id = pay_elsewhere(system, "acct_zone", "1.00")
    made_at = datetime.fromisoformat(
        system.sql(f"SELECT created_at AT TIME ZONE 'UTC' FROM payments WHERE id = '{payment_id}'")
    )
    # 5 h 45 min ahead of UTC: cannot be confused with another time zone.
    visitor = visit(timezone_id="Asia/Kathmandu")
    visitor.open_live()
    shown = visitor.row(payment_id).locator("time")
    local = made_at + timedelta(hours=5, minutes=45)
    expect(shown).to_contain_text(local.strftime("%H:%M:%S"))
    title = shown.get_attribute("title") or ""
    assert title == made_at.strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def test_a_time_filter_is_exact_in_the_repeated_hour_of_a_clock_change(
    visit: Callable[..., Visitor],
) -> None:
    """In Vienna, 02:30 occurs twice on 26 October 2025: at 00:30 and at 01:30 UTC."""
    visitor = visit(timezone_id="Europe/Vienna")
    page = visitor.open_live("/?start=2025-10-26T01:30&end=2025-10-26T03:00")
    expect(page.locator("#f-start")).to_have_value("2025-10-26T02:30")
    page.locator("#f-status").select_option("failed")
    expect(page).to_have_url(re.compile("status=failed"))
    assert "start=2025-10-26T01:30" in unquote(page.url)
    # A typed time may mean either moment, so the range includes both.
    page.locator("#f-start").fill("2025-10-26T02:45")
    page.locator("#f-end").fill("2025-10-26T02:50")
    page.locator("#f-end").dispatch_event("change")
    expect(page).to_have_url(re.compile("end=2025-10-26T01(%3A|:)50"))
    assert "start=2025-10-26T00:45" in unquote(page.url)
