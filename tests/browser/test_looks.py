"""The appearance of every page: axe-core, narrow screens, both themes, the keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from testkit.browser.actions import pay_elsewhere
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem


@pytest.fixture(scope="module")
def paths(system: WholeSystem) -> dict[str, str]:
    """Every kind of page, with something on it."""
    odd = pay_elsewhere(system, "acct_looks", "7.13")
    pay_elsewhere(system, "acct_looks", "70.00")
    failed = pay_elsewhere(system, "acct_looks", "-7.00")
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
        "operate": "/operate",
        "confirm": "/operate/replay",
        "activity": "/activity",
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
        visitor.page.emulate_media(color_scheme="dark")  # Only the colours differ.
        findings[f"{name}, dark"] = visitor.axe_findings("color-contrast")
    assert not {name: found for name, found in findings.items() if found}


def test_nothing_is_wider_than_a_phone(
    visit: Callable[..., Visitor], paths: dict[str, str]
) -> None:
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    for name, path in paths.items():
        page = visitor.open(path)
        overhang = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overhang <= 0, name
        # The layout differs; two pages hold every piece of it.
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


def test_the_browser_is_told_to_run_nothing_but_the_pages_own(visitor: Visitor) -> None:
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
