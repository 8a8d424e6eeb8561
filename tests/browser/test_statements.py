"""A statement is dropped on the page, and its breaks are worked off by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import FilePayload, Page, expect

from testkit.browser.actions import (
    add_bank,
    invoice,
    wait_until_matched,
    wait_until_settled,
)
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem
from testkit.camt_files import Day, Entry, camt053
from testkit.waiting import LOW_PRIORITY_SECONDS_MAX

IMPORT_MS_MAX = 1000 * LOW_PRIORITY_SECONDS_MAX
PAST = (datetime.now(UTC) - timedelta(days=5)).date().isoformat()


def _statement(account: str, closing: str | None = None, bank_id: str = "S1") -> bytes:
    lines = [
        Entry("20.00", PAST, f"{bank_id}-1"),
        Entry("7.00", PAST, f"{bank_id}-typo"),
        Entry("-1.20", PAST, None, "monthly fee"),
    ]
    day = Day(lines, from_on=PAST, closing=closing, bank_id=bank_id, account=account)
    return camt053(day)


def _upload(page: Page, data: bytes, name: str = "day.xml") -> None:
    file: FilePayload = {"name": name, "mimeType": "text/xml", "buffer": data}
    page.locator("#upload-files").set_input_files(file)


def _confirm(page: Page, button: str, reason: str) -> None:
    dialog = page.locator("#confirm")
    expect(dialog).to_be_visible()
    if page.get_by_label("Your name").count():
        page.get_by_label("Your name").fill("Ada")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=button, exact=True).click()


def _expect_accepted(page: Page) -> None:
    """Wait for the end of the import, which the page shows without a reload."""
    badge = page.locator("#file .badge").first
    expect(badge).to_have_text("Accepted", timeout=IMPORT_MS_MAX)


@pytest.mark.parametrize(
    ("name", "device"),
    [("bank-wide", {}), ("bank-phone", {"viewport": PHONE, "has_touch": True, "is_mobile": True})],
)
def test_a_statement_is_dropped_and_its_breaks_are_worked_off(
    visit: Callable[..., Visitor], system: WholeSystem, name: str, device: dict[str, object]
) -> None:
    account = f"DE{abs(hash(name)) % 10**18:020}"
    add_bank(system, name, account)
    payment = invoice(system, name, f"{name}-1", "20.00")
    invoice(system, name, f"{name}-2", "7.00")
    wait_until_settled(system, name)
    visitor = visit(**device)
    page = visitor.open("/statements")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_text("No breaks")).to_be_visible()
    page.get_by_role("link", name="Files").click()
    _upload(page, _statement(account, bank_id=name))
    _expect_accepted(page)
    expect(page.locator(".lines-table tbody tr")).to_have_count(3)
    expect(page.locator("#file")).to_contain_text("125.80")
    page.get_by_role("link", name="Breaks").click()
    # A run of the matching follows the import.
    wait_until_matched(system, name)
    page.reload()
    expect(page.locator(".breaks-table tbody tr")).to_have_count(2)

    page.get_by_role("link", name=f"{name}-typo").click()
    expect(
        page.get_by_text("No entry has this reference; 1 entry has this amount.")
    ).to_be_visible()
    page.get_by_role("button", name="Match the ticked…").click()
    _confirm(page, "Match", "a typo of the payer")
    expect(page.locator(".columns .badge").first).to_have_text("Matched")
    expect(page.get_by_role("link", name="Undo the match…")).to_be_visible()

    page = visitor.open(f"/statements/{name}")
    page.get_by_role("link", name="monthly fee").click()
    page.get_by_role("link", name="Explain…").click()
    _confirm(page, "Explain", "the fee of the bank")
    expect(page.locator(".columns .badge").first).to_have_text("Explained")

    page = visitor.open(f"/statements/{name}")
    expect(page.get_by_text("No breaks")).to_be_visible()
    page = visitor.open(f"/payments/{payment}")
    expect(page.locator("#settlement")).to_contain_text("Confirmed by the bank")
    assert not visitor.axe_findings()
    page.locator("#settlement a").click()
    expect(page.locator(".columns .badge").first).to_have_text("Matched")


def test_a_file_that_does_not_add_up_is_decided_on_the_page(
    visitor: Visitor, system: WholeSystem
) -> None:
    add_bank(system, "bank-broken", "DE00BROKEN")
    page = visitor.open("/statements/bank-broken/files")
    _upload(page, _statement("DE00BROKEN", closing="1.00"), "broken.xml")
    notice = page.locator("#file .notice")
    expect(notice).to_contain_text("24.80 is not explained", timeout=IMPORT_MS_MAX)
    page.get_by_role("link", name="Accept…").click()
    dialog = page.locator("#confirm")
    dialog.get_by_role("button", name="Accept", exact=True).click()
    expect(dialog).to_contain_text("A reason is required")
    _confirm(page, "Accept", "the bank confirms it")
    _expect_accepted(page)
    expect(page.locator("#file")).to_contain_text("the bank confirms it")


def test_a_refused_upload_says_why(visitor: Visitor, system: WholeSystem) -> None:
    add_bank(system, "bank-empty", "DE00EMPTY")
    page = visitor.open("/statements/bank-empty/files")
    _upload(page, b"", "empty.xml")
    expect(page.locator(".upload-problem")).to_contain_text("is empty")


def test_a_long_name_of_a_refused_file_is_readable_on_a_phone(
    visit: Callable[..., Visitor], system: WholeSystem
) -> None:
    add_bank(system, "bank-long", "DE00LONG")
    page = visit(viewport=PHONE).open("/statements/bank-long/files")
    _upload(page, b"", f"{'a_name_without_a_place_to_break_' * 3}.xml")
    expect(page.locator(".upload-problem")).to_contain_text("is empty")
    name = page.locator(".upload span").first.bounding_box()
    assert name is not None
    assert name["width"] > PHONE["width"] / 2


def test_a_break_is_assigned_with_the_keyboard_alone(visitor: Visitor, system: WholeSystem) -> None:
    add_bank(system, "bank-keys", "DE00KEYS")
    page = visitor.open("/statements/bank-keys/files")
    _upload(page, _statement("DE00KEYS", bank_id="keys"))
    _expect_accepted(page)
    wait_until_matched(system, "bank-keys")
    page = visitor.open("/statements/bank-keys?sort=amount")
    page.get_by_role("link", name="keys-1").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Assign or note…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Assigned to")).to_be_focused()
    page.keyboard.type("Grace")
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Break")).to_contain_text("Grace")
    page = visitor.open("/statements/bank-keys?assignee=Grace")
    expect(page.locator(".breaks-table tbody tr")).to_have_count(1)
