"""Operating: dead letters are shown and settled, and each action is recorded."""

from playwright.sync_api import expect

from testkit.browser.actions import make_dead_letters, pay_elsewhere
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


def test_a_dead_letter_is_replayed_and_its_payment_completes(
    visitor: Visitor, system: WholeSystem
) -> None:
    [job_id] = make_dead_letters(system, "acct_dead", 1)
    page = visitor.open("/operate")
    row = page.locator(f"#j-{job_id}")
    expect(row).to_contain_text("the vault is shut")
    row.get_by_role("link", name="Replay").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Replay").click()
    expect(dialog.locator(".field-error")).to_contain_text("Your name is required")
    dialog.get_by_label("Your name").fill("Ada <b>Lovelace</b>")
    dialog.get_by_label("Reason").fill("The vault is open again")
    dialog.get_by_role("button", name="Replay").click()
    expect(page.locator(".notice-done")).to_contain_text(f"Replayed dead letter {job_id}")
    expect(page.locator(f"#j-{job_id}")).to_have_count(0)
    record = page.locator(".actions-table tbody tr").first
    expect(record).to_contain_text("Ada <b>Lovelace</b>")
    expect(record).to_contain_text("The vault is open again")
    page.goto(f"{system.url}/accounts/acct_dead")
    expect(page.locator(".hero-amount")).to_have_text("1.00 USD")


def test_a_dead_letter_is_discarded_with_a_reason(visitor: Visitor, system: WholeSystem) -> None:
    [job_id] = make_dead_letters(system, "acct_discard", 1)
    page = visitor.open("/operate")
    page.locator(f"#j-{job_id}").get_by_role("link", name="Discard").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Your name").fill("Grace")
    dialog.get_by_role("button", name="Discard").click()
    expect(dialog.locator(".field-error")).to_contain_text("A reason is required")
    dialog.get_by_label("Reason").fill("A test payment")
    dialog.get_by_role("button", name="Discard").click()
    expect(page.locator(".notice-done")).to_contain_text(f"Discarded dead letter {job_id}")
    payment_id = system.sql(f"SELECT payment_id FROM recon_jobs WHERE id = {job_id}")
    page.goto(f"{system.url}/payments/{payment_id}")
    expect(page.locator(".hero .badge")).to_have_text("Failed")
    expect(page.get_by_role("region", name="Reconciliation")).to_contain_text("Grace")
    page.goto(f"{system.url}/operate/jobs/{job_id}/replay")
    expect(page.locator("#confirm")).to_contain_text("no longer a dead letter")


def test_several_dead_letters_are_counted_then_replayed(
    visitor: Visitor, system: WholeSystem
) -> None:
    make_dead_letters(system, "acct_many", 3)
    page = visitor.open("/operate")
    page.get_by_role("link", name="Replay several…").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Account").fill("acct_many")
    dialog.get_by_label("Error contains").fill("vault")
    dialog.get_by_label("Your name").fill("Edsger")
    dialog.get_by_role("button", name="Count matches").click()
    expect(dialog.locator(".notice")).to_contain_text("3 dead letters match")
    dialog.get_by_role("button", name="Replay 3").click()
    expect(page.locator(".notice-done")).to_contain_text("Replayed 3 dead letters")
    page.goto(f"{system.url}/accounts/acct_many")
    expect(page.locator(".hero-amount")).to_have_text("6.00 USD")


def test_the_machines_state_is_shown_and_follows(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live("/operate")
    expect(page.locator(".invariant-ok").first).to_be_visible()
    expect(page.locator(".invariant-broken")).to_have_count(0)
    expect(page.locator(".state-alive").first).to_be_visible()
    drawn = page.locator(".bar").count()
    pay_elsewhere(system, "acct_bars", "1.00")
    expect(page.locator(".bar-completed").last).to_be_attached()
    assert page.locator(".bar").count() >= drawn
    page.locator(".chart-plot").hover()
    expect(page.locator(".chart-tip")).to_contain_text("completed")
