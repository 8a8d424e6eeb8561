"""The appearance of every page: axe-core, narrow screens, both themes, the keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from testkit.browser.actions import add_bank, add_delivery, make_dead_letters, pay_elsewhere
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem

# Buttons that reach the edge of their card, which clips them.
CUT_BUTTONS = """
[...document.querySelectorAll("main .card .button")]
  .filter((each) => each.checkVisibility())
  .filter((each) => each.getBoundingClientRect().right
    > each.closest(".card").getBoundingClientRect().right - 4)
  .map((each) => each.textContent.trim())"""
# How far the text of a row's badge is above that of its account, in pixels.
BADGE_RISE = """
(row) => {
  const bottom = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getBoundingClientRect().bottom;
  };
  return bottom(row.querySelector(".cell-account")) - bottom(row.querySelector(".badge").lastChild);
}"""


@pytest.fixture(scope="module")
def paths(system: WholeSystem) -> dict[str, str]:
    """Return the path of every kind of page, each with content."""
    add_bank(system, "bank-looks", "DE00LOOKS")
    odd = pay_elsewhere(system, "acct_looks", "7.13")
    pay_elsewhere(system, "acct_looks", "70.00")
    failed = pay_elsewhere(system, "acct_looks", "-7.00")
    make_dead_letters(system, "acct_looks_dead", 1, "the looking glass is shut")
    webhook, delivery = add_delivery(system)
    system.sql(
        "INSERT INTO operator_actions (action, actor, key_name, reason, job_ids, trace_id)"
        " VALUES ('replay', 'ada.lovelace@a-rather-long-name-of-a-company.example', 'page',"
        " 'The lock is gone', '{1,2,3}', repeat('0af7651916cd43dd', 2))"
    )
    return {
        "payments": "/",
        "nothing found": "/?account=acct_looks&currency=JPY",
        "payment": f"/payments/{odd}",
        "failed payment": f"/payments/{failed}",
        "account": "/accounts/acct_looks",
        "accounts": "/accounts",
        "no accounts": "/accounts?prefix=nothing",
        "found": "/search?q=7",
        "found nothing": "/search?q=no+such+thing",
        "operate": "/operate",
        "dead letters of an error": "/operate?group=the+looking+glass+is+shut",
        "confirm": "/operate/replay",
        "discard": "/operate/discard?account=nothing",
        "operate a day": "/operate?range=1440",
        "reverse": f"/payments/{odd}/reverse",
        "sources": "/statements",
        "breaks": "/statements/bank-looks",
        "resolved breaks": "/statements/bank-looks?status=resolved",
        "matches": "/statements/bank-looks/matches",
        "files": "/statements/bank-looks/files",
        "day": "/statements/bank-looks/day",
        "activity": "/activity",
        "webhooks": "/webhooks",
        "webhook": f"/webhooks/{webhook}",
        "delivery": f"/webhooks/deliveries/{delivery}",
        "new webhook": "/webhooks/new",
        "resend": f"/webhooks/{webhook}/resend",
        "help": "/help",
        "error": "/no/such/page",
    }


def test_axe_finds_nothing_on_any_page_in_either_theme(
    visit: Callable[..., Visitor], paths: dict[str, str]
) -> None:
    visitor = visit(color_scheme="light", reduced_motion="reduce")
    findings = {}
    for name, path in paths.items():
        visitor.page.emulate_media(color_scheme="light")
        visitor.open(path)
        findings[f"{name}, light"] = visitor.axe_findings()
        visitor.page.emulate_media(color_scheme="dark")  # The themes differ in colours only.
        findings[f"{name}, dark"] = visitor.axe_findings("color-contrast")
    assert not {name: found for name, found in findings.items() if found}


def test_a_badge_stands_on_the_line_of_its_row(visitor: Visitor, paths: dict[str, str]) -> None:
    page = visitor.open(paths["payments"])
    assert abs(page.locator(".payments-table tbody tr").first.evaluate(BADGE_RISE)) <= 1.5


def test_a_verdict_is_no_taller_than_its_text(visitor: Visitor, paths: dict[str, str]) -> None:
    page = visitor.open(paths["day"])
    badge, button = (
        page.locator(f".list-tools {kind}").first.bounding_box() for kind in (".badge", ".button")
    )
    assert badge is not None
    assert button is not None
    assert badge["height"] < button["height"]
    middles = [each["y"] + each["height"] / 2 for each in (badge, button)]
    assert abs(middles[0] - middles[1]) <= 1


def test_an_account_is_one_line_on_a_phone(
    visit: Callable[..., Visitor], paths: dict[str, str]
) -> None:
    page = visit(viewport=PHONE).open(paths["accounts"])
    row = page.locator(".accounts-table tbody tr").first
    cells = row.locator("td:visible")
    expect(cells).to_have_count(2)
    account, balance = (cell.evaluate("c => c.getBoundingClientRect().y") for cell in cells.all())
    assert abs(account - balance) < 5, "they stand side by side"


def test_no_page_is_wider_than_a_phone(
    visit: Callable[..., Visitor], paths: dict[str, str]
) -> None:
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    for name, path in paths.items():
        page = visitor.open(path)
        expect(page.locator(".nav-count")).to_be_visible()  # The widest navigation.
        assert page.locator(".nav a").last.evaluate("a => a.getBoundingClientRect().right") <= 360
        assert page.evaluate(CUT_BUTTONS) == [], name
        overhang = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overhang <= 0, name
        # The layout differs from the desktop's; two pages contain every element of it.
        assert name not in {"payments", "operate"} or not visitor.axe_findings(), name


def test_paying_works_on_a_phone(visit: Callable[..., Visitor]) -> None:
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    visitor.open_live()
    payment_id = visitor.pay("acct_phone", "9.99", "From a phone")
    expect(visitor.row(payment_id).locator(".badge")).to_have_text("Completed")
    visitor.page.get_by_text("Filter", exact=True).click()
    expect(visitor.page.locator("#f-status")).to_be_visible()


def test_the_theme_follows_the_system_until_one_is_chosen(visit: Callable[..., Visitor]) -> None:
    visitor = visit(color_scheme="dark")
    page = visitor.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(11, 13, 18)"
    page.get_by_role("button", name="Use the light theme").click()
    assert page.evaluate(ground) == "rgb(245, 246, 248)"
    page.reload()
    assert page.evaluate(ground) == "rgb(245, 246, 248)"


def test_a_payment_is_made_with_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.open_live()
    keyboard = page.keyboard
    keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    keyboard.press("Enter")
    for typed in ("acct_keys", "6.50"):
        keyboard.press("Tab")
        keyboard.type(typed)
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.type("No mouse")
    keyboard.press("Enter")
    expect(page.locator(".receipt")).to_contain_text("6.50 USD")


def test_keys_lead_to_search_and_to_the_list_of_keys_but_not_while_typing(
    visitor: Visitor,
) -> None:
    page = visitor.open_live()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("a/b?c")
    expect(page.locator("#find")).to_have_value("a/b?c")
    page.locator("#description").focus()
    page.keyboard.type("why?")
    expect(page.locator("#description")).to_have_value("why?")
    page.locator("h1").click()
    page.keyboard.press("?")
    keys = page.locator("#keys")
    expect(keys).to_be_visible()
    expect(keys.get_by_role("button", name="Close")).to_be_focused()
    assert not visitor.axe_findings()
    page.keyboard.press("/")
    expect(page.locator("#find")).not_to_be_focused()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    button = page.get_by_role("button", name="Keys")
    button.press("Enter")
    keys.get_by_role("button", name="Close").press("Enter")
    expect(keys).to_be_hidden()
    expect(button).to_be_focused()


def test_dead_letters_are_ticked_with_the_keyboard_alone(
    visitor: Visitor, system: WholeSystem
) -> None:
    job_ids = make_dead_letters(system, "acct_key_ticks", 2, "no key")
    page = visitor.open_live("/operate")
    first = page.get_by_label(f"Tick job {job_ids[1]}", exact=True)  # The newer dead letter.
    first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#ticked-count")).to_have_text("1 ticked")
    page.get_by_role("button", name="Replay ticked…").press("Enter")
    dialog = page.locator("#dialog")
    expect(dialog.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Grace")
    page.keyboard.press("Enter")
    expect(page.locator(".notice-done")).to_contain_text("Replayed 1 dead letter.")


def test_the_content_policy_allows_only_the_pages_own_resources(visitor: Visitor) -> None:
    response = visitor.page.goto(visitor.url)
    assert response is not None
    headers = response.headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    visitor.page.wait_for_load_state("load")
    for cookie in visitor.context.cookies():
        assert cookie["httpOnly"], cookie["name"]
        assert cookie["sameSite"] == "Lax"
    hosts = visitor.page.evaluate(
        "[...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))]"
    )
    assert hosts == [visitor.url]
