"""A form pays once, despite double clicks, reloads and lost answers."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


def payments_of(system: WholeSystem, account: str) -> int:
    return int(system.sql(f"SELECT count(*) FROM payments WHERE account_id = '{account}'"))


def test_a_new_payment_completes_live(visitor: Visitor) -> None:
    visitor.open_live()
    payment_id = visitor.pay("acct_watch", "100.00", "A first payment")
    row = visitor.row(payment_id)
    expect(row.locator(".badge")).to_have_text("Completed")
    expect(row).to_contain_text("100.00 USD")
    expect(visitor.page.locator(".receipt .badge")).to_have_text("Completed")


@pytest.mark.parametrize(
    ("amount", "outcome", "told"),
    [("12.13", "Discrepancy", "0.13"), ("-5.00", "Failed", "Negative amount not allowed")],
)
def test_the_outcome_of_each_rule_is_shown(
    visitor: Visitor, amount: str, outcome: str, told: str
) -> None:
    visitor.open_live()
    payment_id = visitor.pay("acct_rules", amount)
    expect(visitor.row(payment_id).locator(".badge")).to_have_text(outcome)
    visitor.open(f"/payments/{payment_id}")
    expect(visitor.page.locator(".hero .badge")).to_have_text(outcome)
    expect(visitor.page.get_by_role("region", name="Reconciliation")).to_contain_text(told)


def test_a_double_click_pays_once(visitor: Visitor, system: WholeSystem) -> None:
    visitor.open_live()
    visitor.fill("acct_double", "7.00")
    visitor.pay_button.dblclick(no_wait_after=True)
    expect(visitor.page.locator(".receipt")).to_be_visible()
    assert payments_of(system, "acct_double") == 1


def test_sending_a_form_twice_shows_one_payment(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live()
    visitor.fill("acct_twice", "8.00")
    key = page.locator("[name=idempotencyKey]").input_value()
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_have_text("Payment accepted")
    visitor.fill("acct_twice", "8.00")
    page.locator("[name=idempotencyKey]").evaluate("(field, key) => field.value = key", key)
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_contain_text("no second one was made")
    assert payments_of(system, "acct_twice") == 1


def test_a_changed_form_with_a_used_key_asks_for_confirmation(
    visitor: Visitor, system: WholeSystem
) -> None:
    page = visitor.open_live()
    visitor.fill("acct_reused", "8.00")
    key = page.locator("[name=idempotencyKey]").input_value()
    visitor.pay_button.click()
    expect(page.locator(".receipt")).to_be_visible()
    visitor.fill("acct_reused", "9.00")
    page.locator("[name=idempotencyKey]").evaluate("(field, key) => field.value = key", key)
    visitor.pay_button.click()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("already created a payment")
    expect(page.locator("#amount")).to_have_value("9.00")
    assert payments_of(system, "acct_reused") == 1


def test_errors_appear_beside_their_fields_and_input_is_kept(visitor: Visitor) -> None:
    page = visitor.open_live()
    visitor.fill("not an account", "1.2345", "Kept as typed")
    visitor.pay_button.click()
    expect(page.locator("#accountId-error")).to_contain_text("Account must be")
    expect(page.locator("#amount-error")).to_have_text(
        "Amount must not have more than 2 decimals in USD."
    )
    expect(page.locator("#amount")).to_have_value("1.2345")
    expect(page.locator("#description")).to_have_value("Kept as typed")
    expect(page.locator("#accountId")).to_be_focused()


def test_sending_again_after_a_lost_answer_pays_once(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live()
    visitor.fill("acct_lost", "5.00", "Sent into the void")
    page.route("**/payments", lambda route: (route.fetch(), route.abort()))
    visitor.pay_button.click()
    expect(page.locator("#pay-trouble")).to_be_visible()
    page.unroute("**/payments")
    page.reload()
    expect(page.locator("#description")).to_have_value("Sent into the void")
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_contain_text("no second one was made")
    assert payments_of(system, "acct_lost") == 1


def test_a_hostile_description_is_shown_as_text(visitor: Visitor) -> None:
    visitor.open_live()
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    payment_id = visitor.pay("acct_hostile", "3.00", hostile)
    expect(visitor.row(payment_id).locator(".cell-description")).to_have_text(hostile)
    visitor.open(f"/payments/{payment_id}")
    expect(visitor.page.locator(".hero-description")).to_have_text(hostile)


def test_without_scripts_the_form_pays_and_reloads_show_the_outcome(
    visit: Callable[..., Visitor], system: WholeSystem
) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.open()
    visitor.fill("acct_plain", "4.00", "No script")
    visitor.pay_button.click()
    expect(page).to_have_url(re.compile(r"/payments/[0-9a-f-]{36}\?made=now"))
    expect(page.locator(".notice")).to_contain_text("Payment accepted")
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator(".hero .badge")).to_have_text("Completed")
    page.go_back()
    visitor.pay_button.click()
    expect(page.locator("body")).to_contain_text("USD")
    assert payments_of(system, "acct_plain") == 1
