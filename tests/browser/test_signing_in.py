"""Sign-in and sign-out in a real browser, with a real provider, and each role's rights."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from testkit.browser.actions import make_dead_letters, pay_elsewhere
from testkit.browser.chromium import PHONE, Visitor
from testkit.browser.whole_system import WholeSystem, guarded_page
from testkit.deployments.service_process import ServiceProcess
from testkit.sign_in.oidc_provider import OidcProvider, provider_settings, running_provider


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    """Run a provider for this module."""
    with running_provider() as running:
        yield running


@pytest.fixture(scope="module")
def page_service(
    system: WholeSystem, provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Run a page that uses the provider."""
    service = guarded_page(system, tmp_path_factory.mktemp("page"), {})
    url = f"http://127.0.0.1:{service.port}"
    service.environ = {**service.environ, **provider_settings(provider, url)}
    service.start()
    yield service
    service.stop()


@pytest.fixture
def open_page(browser: Browser, page_service: ServiceProcess) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens the guarded page as a visitor; fail on blocked requests."""
    visitors: list[Visitor] = []

    def make(**options: object) -> Visitor:
        visitors.append(Visitor(browser, f"http://127.0.0.1:{page_service.port}", **options))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()
    for visitor in visitors:
        assert not visitor.violations, visitor.violations


def sign_in(visitor: Visitor, user: str, path: str = "/") -> None:
    """Sign in on the provider's page."""
    page = visitor.open(path)
    page.get_by_role("link", name="Continue with single sign-on").click()
    page.get_by_role("link", name=f"Continue as {user}").click()
    page.wait_for_url(f"{visitor.url}{path}")


def test_an_operator_signs_in_pays_decides_and_signs_out(
    open_page: Callable[..., Visitor], system: WholeSystem, provider: OidcProvider
) -> None:
    [job_id] = make_dead_letters(system, "acct_signed", 1)
    visitor = open_page()
    sign_in(visitor, "ada", "/accounts/acct_signed?currency=USD")
    page = visitor.open_live()
    visitor.pay("acct_signed", "12.00")
    visitor.open(f"/operate/jobs/{job_id}/replay")
    expect(page.locator("#confirm")).to_contain_text("Recorded in the audit log as ada@example.com")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".notice-done")).to_contain_text("Replayed dead letter")
    expect(page.locator(".actions-table tbody tr").first).to_contain_text("ada@example.com")
    expect(page.locator(".who summary")).to_have_text("ASigned in as ada@example.com, Operator")
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    assert provider.ended[-1]["id_token_hint"] == provider.issued[-1]
    visitor.open("/operate")
    expect(page.get_by_role("heading")).to_have_text("Sign in")


def test_a_viewer_sees_everything_and_no_action(
    open_page: Callable[..., Visitor], system: WholeSystem
) -> None:
    [job_id] = make_dead_letters(system, "acct_viewed", 1)
    visitor = open_page()
    sign_in(visitor, "grace")
    page = visitor.open_live()
    expect(page.locator("#pay")).to_have_count(0)
    payment_id = pay_elsewhere(system, "acct_viewed", "3.00")
    expect(visitor.row(payment_id).locator(".badge")).to_have_text("Completed")
    visitor.open("/operate")
    expect(page.locator(f"#j-{job_id}")).to_be_visible()
    expect(page.get_by_role("link", name="Replay")).to_have_count(0)
    expect(page.get_by_role("link", name="Discard")).to_have_count(0)
    visitor.open(f"/operate/jobs/{job_id}/discard")
    expect(page.get_by_role("heading", level=1)).to_have_text("Only operators may do this")
    assert not visitor.axe_findings()


def test_signing_out_in_one_window_reaches_the_others(open_page: Callable[..., Visitor]) -> None:
    visitor = open_page()
    sign_in(visitor, "ada")
    other = visitor.context.new_page()
    other.goto(f"{visitor.url}/operate")
    page = visitor.page
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    other.wait_for_url("**/sign-in?next=/operate")


def test_an_open_page_goes_to_sign_in_when_the_session_ends(
    open_page: Callable[..., Visitor],
) -> None:
    visitor = open_page()
    sign_in(visitor, "ada", "/operate")
    page = visitor.page
    # Simulates the session's end: without its cookie, the page's next request is rejected.
    visitor.context.clear_cookies(name="payments_ui_session")
    page.wait_for_url("**/sign-in?next=/operate")


def test_typed_input_survives_a_new_sign_in(open_page: Callable[..., Visitor]) -> None:
    visitor = open_page()
    sign_in(visitor, "ada")
    page = visitor.open_live()
    visitor.fill("acct_typed", "17.50")
    visitor.context.clear_cookies(name="payments_ui_session")
    visitor.pay_button.click()
    page.wait_for_url("**/sign-in")
    page.get_by_role("link", name="Continue with single sign-on").click()
    page.get_by_role("link", name="Continue as ada").click()
    expect(page.locator("#amount")).to_have_value("17.50")


def test_sign_in_errors_and_denials_are_accessible_pages(
    open_page: Callable[..., Visitor], provider: OidcProvider
) -> None:
    for size in ({}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}):
        visitor = open_page(reduced_motion="reduce", color_scheme="light", **size)
        page = visitor.open("/operate")
        findings = {"sign in": visitor.axe_findings()}
        page.emulate_media(color_scheme="dark")
        findings["sign in, dark"] = visitor.axe_findings()
        page.get_by_role("link", name="Continue with single sign-on").click()
        page.get_by_role("link", name="Continue as edsger").click()
        expect(page.get_by_role("heading")).to_have_text("You have no access to this page")
        expect(page.locator("main")).to_contain_text("edsger@example.com")
        findings["no role, dark"] = visitor.axe_findings()
        provider.fault = "wrong audience"
        try:
            visitor.open("/sign-in/start")
            page.get_by_role("link", name="Continue as ada").click()
            expect(page.get_by_role("heading")).to_have_text("The sign-in cannot be trusted")
        finally:
            provider.fault = ""
        findings["not trusted, dark"] = visitor.axe_findings()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        sign_in(visitor, "ada")
        page.locator(".who summary").click()
        findings["menu, dark"] = visitor.axe_findings()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        menu = page.locator(".who-menu").bounding_box()
        assert menu is not None
        assert menu["x"] >= 0  # An element beyond the left edge makes no page wider.
        assert menu["x"] + menu["width"] <= page.evaluate("innerWidth")
        assert not {name: found for name, found in findings.items() if found}
