"""The list's tools: filters, pages, times, downloads, ids; and the form's warnings."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, Route, expect

from testkit.browser.actions import (
    make_dead_letters,
    pay_elsewhere,
    pay_many_elsewhere,
    wait_until_settled,
)
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


def _rows(page: Page) -> list[str]:
    return [
        str(each) for each in page.locator("#rows tr").evaluate_all("all => all.map(r => r.id)")
    ]


def test_payments_that_need_attention_are_listed(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live()
    make_dead_letters(system, "acct_attention", 2)
    # The list of all payments says so too, as soon as the worker gives up.
    dead = page.locator("#rows tr", has_text="acct_attention")
    expect(dead.locator(".badge")).to_have_text(["Needs attention"] * 2)
    page.reload()
    expect(dead.locator(".badge")).to_have_text(["Needs attention"] * 2)
    page.locator("#f-status").select_option("attention")
    page.locator("#f-account").fill("acct_attention")
    page.locator("#f-account").dispatch_event("change")
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows .badge").first).to_have_text("Needs attention")
    expect(page.locator("#totals")).to_have_text("2 payments: 3.00 USD")


def test_paging_goes_back_and_the_header_hides_no_row(
    visitor: Visitor, system: WholeSystem
) -> None:
    for number in range(60):
        pay_elsewhere(system, "acct_back", f"{number + 1}.00")
    wait_until_settled(system, "acct_back")
    page = visitor.open_live("/?account=acct_back")
    expect(page.locator("#totals")).to_have_text("60 payments: 1,830.00 USD")
    pages = [_rows(page)]
    for number in (25, 10):
        page.locator(".pager").scroll_into_view_if_needed()
        page.get_by_role("link", name="Older", exact=True).click()
        expect(page.locator(f"#{pages[-1][0]}")).to_have_count(0)
        expect(page.locator("#rows tr")).to_have_count(number)
        pages.append(_rows(page))
        covered = page.evaluate(
            "document.querySelector('.payments-table thead th').getBoundingClientRect().bottom"
            " - document.querySelector('#rows tr').getBoundingClientRect().top"
        )
        assert covered <= 1
    assert len({each for rows in pages for each in rows}) == 60
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(page.locator(f"#{pages[1][0]}")).to_be_visible()
    assert _rows(page) == pages[1]
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(page.locator(f"#{pages[0][0]}")).to_be_visible()
    expect(page.get_by_role("link", name="Newest")).to_have_count(0)
    newcomer = pay_elsewhere(system, "acct_back", "99.00")  # The first page is live.
    page.mouse.move(0, 0)
    expect(visitor.row(newcomer)).to_be_visible()
    page.locator("#f-order").select_option("asc")
    expect(page.locator("#rows tr").first).to_have_id(pages[2][-1])


def test_ranges_are_days_in_the_displayed_time_zone(
    visit: Callable[..., Visitor], system: WholeSystem
) -> None:
    payment_id = pay_elsewhere(system, "acct_range", "1.00")
    zone = ZoneInfo("Asia/Kathmandu")  # 5 h 45 min ahead of UTC.
    visitor = visit(timezone_id=str(zone))
    page = visitor.open_live("/?account=acct_range")
    page.get_by_role("button", name="Today").click()
    begin = datetime.now(zone).replace(hour=0, minute=0).astimezone(UTC)
    expect(page).to_have_url(re.compile(begin.strftime("start=%Y-%m-%dT%H(%%3A|:)15")))
    expect(page.get_by_role("button", name="Today")).to_have_attribute("aria-pressed", "true")
    expect(visitor.row(payment_id)).to_be_visible()
    local = visitor.row(payment_id).locator("time").inner_text()
    page.get_by_role("button", name="UTC").click()
    exact = visitor.row(payment_id).locator("time").get_attribute("title") or ""
    expect(visitor.row(payment_id).locator("time")).to_contain_text(exact[11:19])
    assert local != exact[11:19]
    expect(page.locator("#f-start")).to_have_value(begin.strftime("%Y-%m-%dT%H:15"))
    expect(page.locator("#zone")).to_have_text("UTC")
    page.get_by_role("button", name="Yesterday").click()
    expect(page).to_have_url(re.compile(r"end=\d{4}-\d\d-\d\dT00(%3A|:)00"))
    page.get_by_role("button", name="Yesterday").click()  # A second click clears the range.
    expect(page).not_to_have_url(re.compile("end="))
    page.reload()
    expect(page.get_by_role("button", name="UTC")).to_have_attribute("aria-pressed", "true")
    expect(visitor.row(payment_id).locator("time")).to_contain_text(exact[11:19])


def test_a_filtered_list_is_downloaded_whole(
    visitor: Visitor, system: WholeSystem, tmp_path: Path
) -> None:
    ids = [pay_elsewhere(system, "acct_file", f"{number + 1}.00", "EUR") for number in range(30)]
    pay_elsewhere(system, "acct_file", "1.00", "USD")
    wait_until_settled(system, "acct_file")
    page = visitor.open("/?account=acct_file&currency=EUR")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    file = tmp_path / "payments.csv"
    download.value.save_as(file)
    assert download.value.suggested_filename == "payments.csv"
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["Payment id"] for row in rows] == ids[::-1]
    assert {row["Currency"] for row in rows} == {"EUR"}
    assert rows[0]["Created at (UTC)"].endswith("Z")


def test_a_row_opens_by_click_and_by_key_and_its_id_is_copied(
    visit: Callable[..., Visitor], system: WholeSystem
) -> None:
    payment_id = pay_elsewhere(system, "acct_row", "4.00")
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open_live("/?account=acct_row")
    row = visitor.row(payment_id)
    row.hover()
    row.get_by_role("button", name="Copy the id").click()
    assert page.evaluate("navigator.clipboard.readText()") == payment_id
    assert page.url.endswith("account=acct_row")
    row.locator(".cell-amount").click(force=True)  # The link covers the whole row.
    expect(page).to_have_url(f"{system.url}/payments/{payment_id}")
    page.go_back()
    visitor.row(payment_id).locator(".row-link").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{system.url}/payments/{payment_id}")


def test_the_form_warns_before_sending_and_shows_that_it_is_paying(
    visitor: Visitor, system: WholeSystem
) -> None:
    page = visitor.open_live()
    for amount, warning in (("-5", "negative"), ("−5", "negative"), ("0,00", "zero"), ("5", "")):
        page.locator("#amount").fill(amount)
        expect(page.locator("#amount-warning")).to_contain_text(warning)
        if not warning:
            expect(page.locator("#amount-warning")).to_be_empty()
    visitor.fill("acct_form", "5.00", "x" * 503)
    expect(page.locator("#description-count")).to_have_text("503 characters: 3 too many")
    visitor.pay_button.click()
    expect(page.locator("#description-error")).to_contain_text("500")
    expect(page.locator("#description")).to_have_value("x" * 503)
    page.locator("#description").fill("x" * 500)

    def answer_late(route: Route) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/payments", answer_late)
    visitor.pay_button.click(no_wait_after=True)
    expect(visitor.pay_button).to_have_text("Creating…", use_inner_text=True)
    expect(visitor.pay_button).to_be_disabled()
    expect(page.locator(".receipt")).to_contain_text("5.00 USD")


def test_an_open_list_receives_a_thousand_payments(visitor: Visitor, system: WholeSystem) -> None:
    first = pay_elsewhere(system, "acct_thousand", "3.50")
    wait_until_settled(system, "acct_thousand")
    page = visitor.open_live("/?account=acct_thousand&amount=3.5")
    expect(page.locator("#rows tr")).to_have_count(1)
    accounts = ["acct_thousand" if n % 100 == 0 else "acct_crowd" for n in range(1000)]
    pay_many_elsewhere(system, accounts, "3.50")
    expect(page.locator("#rows tr")).to_have_count(11)
    expect(page.locator("#rows tr").last).to_have_id(f"p-{first}")
    expect(page.locator("#rows tr[data-status=completed]")).to_have_count(11)
    page.locator("#f-account").fill("")
    page.locator("#f-account").dispatch_event("change")
    expect(page.locator("#rows tr").nth(24)).to_be_visible()
    assert len(_rows(page)) <= 100
