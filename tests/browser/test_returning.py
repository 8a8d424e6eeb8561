"""A line of a returned payment leads to the form of its reversal, which then matches the line."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from testkit.browser.actions import add_bank, invoice, wait_until_matched, wait_until_settled
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem
from testkit.camt_files import Day, Entry, camt053

from .test_reversing import reversals_of
from .test_statements import PAST, _expect_accepted, _upload


@pytest.mark.parametrize(
    ("name", "device"),
    [("back-wide", {}), ("back-phone", {"viewport": PHONE, "has_touch": True, "is_mobile": True})],
)
def test_a_returned_payment_is_reversed_from_its_break(
    visit: Callable[..., Visitor], system: WholeSystem, name: str, device: dict[str, object]
) -> None:
    account = f"DE00{name.replace('-', '').upper()}"
    add_bank(system, name, account)
    payment = invoice(system, name, f"{name}-1", "20.00")
    wait_until_settled(system, name)
    lines = [Entry("20.00", PAST, f"{name}-1"), Entry("-15.00", PAST, f"{name}-1", "returned")]
    visitor = visit(**device)
    page = visitor.open(f"/statements/{name}/files")
    _upload(page, camt053(Day(lines, from_on=PAST, bank_id=name, account=account)))
    _expect_accepted(page)
    wait_until_matched(system, name)
    page = visitor.open(f"/statements/{name}")
    page.locator(".breaks-table .row-link").click()
    address = page.url
    expect(page.get_by_text("The line returns 15.00 EUR of the payment")).to_be_visible()
    assert reversals_of(system, payment) == ""
    other = page.context.new_page()  # A colleague acts on the same break.
    other.goto(address)
    other.get_by_role("link", name="Reverse this payment…").click()
    page.get_by_role("link", name="Reverse this payment…").click()
    expect(page.get_by_label("Amount in EUR")).to_have_value("15.00")
    expect(page.get_by_label("Reference optional")).to_have_value(f"{name}-1")
    page.get_by_label("Reason").fill("The account is closed")
    page.get_by_role("button", name="Reverse", exact=True).click()
    expect(page.get_by_role("region", name="Timeline")).to_contain_text("Reversed: 15.00 EUR")
    other.get_by_label("Reason").fill("Returned by the bank")
    other.get_by_role("button", name="Reverse", exact=True).click()
    expect(other.get_by_text("A reversal was created after this form was opened.")).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("link", name="Reverse this payment…")).to_have_count(0)

    page = visitor.open(f"/statements/{name}/files")
    later = Day([Entry("1.00", PAST)], opening="105.00", from_on=PAST, account=account)
    _upload(page, camt053(later, message_id="M2"), "next.xml")
    _expect_accepted(page)
    wait_until_matched(system, name)
    page.goto(address)
    expect(page.locator(".columns .badge").first).to_have_text("Matched")
    assert reversals_of(system, payment) == "15.00 The account is closed"
