"""An operator manages a webhook endpoint, by mouse, by keyboard and on a phone."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from testkit.browser.actions import add_delivery
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem


@pytest.mark.parametrize("device", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}])
def test_an_endpoint_is_created_and_its_secret_shown_once(
    visit: Callable[..., Visitor], system: WholeSystem, device: dict[str, object]
) -> None:
    visitor = visit(**device, reduced_motion="reduce")
    page = visitor.open("/webhooks")
    page.get_by_role("link", name="New endpoint").first.click()
    page.get_by_label("URL").fill("https://10.0.0.1/")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#confirm")).to_contain_text("must not point into a private network")
    url = f"https://hooks.example.com/{uuid4()}"
    page.get_by_label("URL").fill(url)
    page.get_by_label("payment.failed").check()
    page.get_by_role("button", name="Create").click()
    secret = page.locator(".secret .copyable-text")
    expect(secret).to_contain_text("whsec_")
    expect(page.get_by_role("button", name="Copy the secret")).to_be_visible()
    assert not visitor.axe_findings()
    page.mouse.click(5, 5)  # Beside the dialog: it stays open.
    expect(secret).to_be_visible()
    page.get_by_role("link", name="Done").click()
    expect(page.locator("h1")).to_have_text(url)
    expect(page.locator("#webhook")).to_contain_text("payment.failed")
    assert "whsec_" not in page.content()
    overhang = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overhang <= 0
    stored = system.sql(f"SELECT count(*) FROM webhook_endpoints WHERE url = '{url}'")
    assert stored == "1"


def test_an_answer_is_shown_as_text(visitor: Visitor, system: WholeSystem) -> None:
    webhook, delivery = add_delivery(system)
    for path in ("/webhooks", f"/webhooks/{webhook}", f"/webhooks/deliveries/{delivery}"):
        page = visitor.open(path)
        expect(page.locator("main")).to_contain_text("window.evil")
        assert page.evaluate("window.evil") is None
        assert not visitor.axe_findings()


def act(page: Page, name: str, button: str) -> None:
    page.get_by_role("link", name=name, exact=True).press("Enter")
    expect(page.locator("#dialog")).to_be_visible()
    page.locator("#dialog").get_by_role("button", name=button).press("Enter")


def test_an_endpoint_is_managed_with_the_keyboard_alone(
    visitor: Visitor, system: WholeSystem
) -> None:
    webhook, _ = add_delivery(system)
    page = visitor.open(f"/webhooks/{webhook}")
    act(page, "Disable", "Disable")
    expect(page.locator(".notice-done")).to_have_text("Endpoint disabled.")
    act(page, "Enable", "Enable")
    expect(page.locator(".notice-done")).to_have_text("Endpoint enabled.")
    act(page, "Resend failed…", "Send again")
    expect(page.locator(".notice-done")).to_have_text("1 failed delivery is sent again.")
    act(page, "Edit", "Save")
    expect(page.locator(".notice-done")).to_have_text("Endpoint changed.")
    act(page, "Delete", "Delete")
    expect(page.locator(".notice-done")).to_have_text("Endpoint deleted.")
    expect(page).to_have_url(f"{visitor.url}/webhooks")
