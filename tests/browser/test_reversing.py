"""An operator reverses a payment from its page, once for each form."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from testkit.browser.actions import pay_elsewhere
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem


def reversals_of(system: WholeSystem, payment_id: str) -> str:
    return system.sql(
        "SELECT coalesce(string_agg(amount || ' ' || reason, ', ' ORDER BY id), '')"
        f" FROM reversals WHERE payment_id = '{payment_id}'"
    ).strip()


def _open_form(visitor: Visitor, payment_id: str) -> Page:
    page = visitor.open(f"/payments/{payment_id}")
    page.get_by_role("link", name="Reverse", exact=True).click()
    expect(page.locator("#confirm")).to_be_visible()
    return page


@pytest.mark.parametrize("device", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}])
def test_a_reversal_is_posted_and_shown_on_each_page(
    visit: Callable[..., Visitor], system: WholeSystem, device: dict[str, object]
) -> None:
    payment_id = pay_elsewhere(system, "acct_reverse", "100.00")
    visitor = visit(**device)
    page = _open_form(visitor, payment_id)
    expect(page.get_by_label("Amount in USD")).to_have_value("100.00")
    page.get_by_label("Amount in USD").fill("30.00")
    page.get_by_label("Reason").fill("One item came back")
    page.get_by_role("button", name="Reverse", exact=True).click()
    expect(page.get_by_text("Reversal accepted.")).to_be_visible()
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("Reversed: 30.00 USD")
    expect(timeline).to_contain_text("One item came back")
    expect(page.locator(".hero")).to_contain_text("30.00 USD reversed")
    expect(page.locator(".ledger-table tbody tr")).to_have_count(4)
    assert reversals_of(system, payment_id) == "30.00 One item came back"
    page.get_by_role("link", name="Reverse", exact=True).click()
    expect(page.get_by_label("Amount in USD")).to_have_value("70.00")
    page = visitor.open("/accounts/acct_reverse")
    expect(page.locator(".statement-table tbody tr").first).to_contain_text("reversal")


def test_an_amount_too_large_is_rejected_and_the_input_kept(
    visitor: Visitor, system: WholeSystem
) -> None:
    payment_id = pay_elsewhere(system, "acct_reverse_much", "10.00")
    page = _open_form(visitor, payment_id)
    page.get_by_label("Amount in USD").fill("10.01")
    page.get_by_label("Reason").fill("Too much")
    page.get_by_role("button", name="Reverse", exact=True).click()
    expect(page.locator("#confirm")).to_contain_text("must not exceed its amount")
    expect(page.get_by_label("Amount in USD")).to_have_value("10.01")
    assert reversals_of(system, payment_id) == ""


def test_a_double_click_reverses_once(visitor: Visitor, system: WholeSystem) -> None:
    payment_id = pay_elsewhere(system, "acct_reverse_twice", "10.00")
    page = _open_form(visitor, payment_id)
    page.get_by_label("Amount in USD").fill("4.00")
    page.get_by_label("Reason").fill("Twice")
    page.get_by_role("button", name="Reverse", exact=True).dblclick(no_wait_after=True)
    expect(page.get_by_text("Reversal accepted.")).to_be_visible()
    assert reversals_of(system, payment_id) == "4.00 Twice"
