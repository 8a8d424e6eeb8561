"""Operating: dead letters are shown and settled, and each action is recorded."""

from playwright.sync_api import expect

from testkit.browser.actions import make_dead_letters, pay_elsewhere, replay_elsewhere
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


def test_a_dead_letter_is_replayed_and_its_payment_completes(
    visitor: Visitor, system: WholeSystem
) -> None:
    [job_id] = make_dead_letters(system, "acct_dead", 1)
    page = visitor.open("/operate")
    row = page.locator(f"#j-{job_id}")
    expect(page.locator(".dead-group", has=row)).to_contain_text("the vault is shut")
    row.get_by_role("link", name=f"Replay job {job_id}").click()
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
    page.get_by_role("link", name=f"Discard job {job_id}").click()
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
    page.get_by_role("link", name="Replay by filter…").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Account").fill("acct_many")
    dialog.get_by_label("Error contains").fill("vault")
    dialog.get_by_role("button", name="Count matches").click()
    expect(dialog.locator(".notice")).to_contain_text("3 dead letters match")
    dialog.get_by_label("Your name").fill("Edsger")
    dialog.get_by_role("button", name="Replay 3").click()
    expect(page.locator(".notice-done")).to_contain_text("Replayed 3 dead letters")
    page.goto(f"{system.url}/accounts/acct_many")
    expect(page.locator(".hero-amount")).to_have_text("6.00 USD")


def test_discarding_ticked_dead_letters_skips_a_replayed_one(
    visitor: Visitor, system: WholeSystem
) -> None:
    ids = make_dead_letters(system, "acct_ticks", 3, "no row 17 in drawer 4")
    page = visitor.open_live("/operate")
    expect(page.locator(".dead-group", has_text="no row # in drawer #")).to_contain_text(
        "acct_ticks"
    )
    for job_id in ids[:2]:
        page.get_by_label(f"Tick job {job_id}", exact=True).check()
    expect(page.locator("#ticked-count")).to_have_text("2 ticked")
    page.wait_for_timeout(4000)  # The page refetches itself meanwhile.
    expect(page.locator("#ticked-count")).to_have_text("2 ticked")
    expect(page.get_by_label(f"Tick job {ids[0]}", exact=True)).to_be_checked()
    page.get_by_role("button", name="Discard ticked…").click()
    dialog = page.locator("#dialog")
    expect(dialog.locator(".notice")).to_contain_text("2 dead letters match")
    dialog.get_by_label("Your name").fill("Barbara")
    dialog.get_by_role("button", name="Discard 2").click()
    expect(dialog.locator(".field-error")).to_contain_text("A reason is required")
    dialog.get_by_label("Reason").fill("Entered twice")
    replay_elsewhere(system, ids[0])
    dialog.get_by_role("button", name="Discard 2").click()
    done = "Discarded 1 dead letter. 1 was no longer a dead letter."
    expect(page.locator(".notice-done")).to_contain_text(done)
    row = page.locator(f"#j-{ids[2]}")
    expect(row).to_contain_text("3.00")
    expect(row).to_contain_text("acct_ticks")


def test_all_dead_letters_of_one_error_are_paged_and_replayed(
    visitor: Visitor, system: WholeSystem
) -> None:
    ids = make_dead_letters(system, "acct_group", 22, "no shelf 3")
    page = visitor.open("/operate")
    group = page.locator(".dead-group", has_text="no shelf #")
    expect(group.locator("tbody tr")).to_have_count(5)
    group.get_by_role("link", name="Show all 22").click()
    rows = page.locator(".dead-table tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("link", name="Older", exact=True).click()
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(rows).to_have_count(20)
    expect(rows.first).to_have_id(f"j-{max(map(int, ids))}")
    page.get_by_role("link", name="Replay all…").click()
    dialog = page.locator("#dialog")
    expect(dialog.locator(".notice")).to_contain_text("22 dead letters match")
    dialog.get_by_label("Your name").fill("Edsger")
    dialog.get_by_role("button", name="Replay 22").click()
    expect(page.locator(".notice-done")).to_contain_text("Replayed 22 dead letters.")
    page.goto(f"{system.url}/accounts/acct_group")
    expect(page.locator(".hero-amount")).to_have_text("253.00 USD")


def test_the_throughput_of_a_day_is_shown(visitor: Visitor) -> None:
    page = visitor.open_live("/operate")
    page.get_by_role("link", name="24 h").click()
    expect(page.locator("#throughput-title")).to_contain_text("per 15 minutes")
    expect(page.get_by_role("link", name="24 h")).to_have_attribute("aria-current", "true")
    page.wait_for_timeout(4000)  # The page refetches itself meanwhile, with its range.
    expect(page.locator("#throughput-title")).to_contain_text("per 15 minutes")
    expect(page.get_by_role("region", name="Seal")).to_contain_text("Last sealed")


def test_the_system_state_is_shown_and_updates_live(visitor: Visitor, system: WholeSystem) -> None:
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
