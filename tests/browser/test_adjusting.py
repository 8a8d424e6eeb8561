"""A difference is proposed on the page, and posted once another person has approved it."""

from playwright.sync_api import Page, expect

from testkit.browser.actions import add_bank, invoice, wait_until_matched, wait_until_settled
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem
from testkit.camt_files import Day, Entry, camt053
from testkit.waiting import LOW_PRIORITY_SECONDS_MAX

from .test_statements import PAST, _expect_accepted, _upload


def _decide(page: Page, button: str, name: str, reason: str) -> None:
    dialog = page.locator("#confirm")
    expect(dialog).to_be_visible()
    page.get_by_label("Your name").fill(name)
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=button, exact=True).click()


def test_a_difference_is_posted_once_another_person_approves(
    visitor: Visitor, system: WholeSystem
) -> None:
    add_bank(system, "bank-short", "DE00SHORT")
    invoice(system, "bank-short", "SHORT-1", "20.00")
    wait_until_settled(system, "bank-short")
    page = visitor.open("/statements/bank-short/files")
    line = [Entry("18.50", PAST, "SHORT-1")]
    _upload(page, camt053(Day(line, from_on=PAST, bank_id="short", account="DE00SHORT")))
    _expect_accepted(page)
    wait_until_matched(system, "bank-short")
    page = visitor.open("/statements/bank-short?class=bank_only")
    page.get_by_role("link", name="SHORT-1").click()
    page.locator("[name=entry]").check()
    page.get_by_role("button", name="Adjust the difference…").click()
    expect(page.locator("#confirm")).to_contain_text("1 entry of ours is ticked.")
    _decide(page, "Propose", "Ann", "charges of the bank")
    adjustment = page.locator("section.card", has_text="Proposed")
    expect(adjustment).to_contain_text("by Ann")
    expect(page.get_by_role("button", name="Adjust the difference…")).to_have_count(0)

    page = visitor.open("/statements/bank-short")
    expect(page.locator("[aria-labelledby=waiting-title]")).to_contain_text("charges of the bank")
    page.locator("[aria-labelledby=waiting-title] a").click()
    page.get_by_role("link", name="Approve…").click()
    _decide(page, "Approve", "ann", "mine")
    expect(page.locator("#confirm")).to_contain_text("The action was rejected.")
    _decide(page, "Approve", "Bob", "as agreed")
    expect(page.locator("section.card", has_text="as agreed")).to_be_visible()
    matched = page.locator(".columns .badge").first
    for _ in range(round(LOW_PRIORITY_SECONDS_MAX)):
        if matched.inner_text() == "Matched":
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(matched).to_have_text("Matched")
    page = visitor.open("/accounts/sys:adjustment:fee?currency=EUR")
    expect(page.get_by_text("adjustment ·")).to_be_visible()
