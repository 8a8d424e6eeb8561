"""A guarded system: the API requires keys, and the page requires sign-in."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Response, expect

from payments_api.auth.keys import id_of, new_key
from testkit.browser.actions import make_dead_letters, pay_elsewhere
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem, guarded_page, whole_system
from testkit.deployments.service_process import ServiceProcess
from testkit.sign_in.oidc_provider import OidcProvider, provider_settings, running_provider
from testkit.waiting import WAIT_SECONDS_MAX

SEND_FORM = """async ([path, fields]) => {
  const token = document.querySelector("input[name=csrf]").value;
  const body = new URLSearchParams({csrf: token, ...fields});
  const answer = await fetch(path, {method: "POST", body, redirect: "manual"});
  return [answer.status, await answer.text()];
}"""
STORED = """() => JSON.stringify([
  document.documentElement.outerHTML, document.cookie, {...localStorage}, {...sessionStorage}])"""


@dataclass
class Guarded:
    """A system that requires keys and sign-in, and the responses that browsers received."""

    system: WholeSystem
    page: ServiceProcess
    provider: OidcProvider
    api_key: str
    folder: Path
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the page's address."""
        return f"http://127.0.0.1:{self.page.port}"

    def keys(self, *command: str) -> None:
        """Run `payments-api keys` as an operator does."""
        subprocess.run(
            [sys.executable, "-m", "payments_api", "keys", *command],
            env={**os.environ, "DATABASE_URL": self.system.database_url},
            check=True,
            capture_output=True,
            timeout=60,
        )

    def note(self, response: Response) -> None:
        """Record a response to a browser."""
        self.seen.append(json.dumps(response.all_headers()))
        if "event-stream" not in response.headers.get("content-type", ""):
            try:
                self.seen.append(response.text())
            except Error:
                return  # A redirect has no body.


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Run a system with one API key, the page's, and a provider with viewers and operators."""
    folder, key = tmp_path_factory.mktemp("guarded"), new_key()
    with whole_system(folder, api_key=key) as system, running_provider() as provider:
        environ = {"LOG_LEVEL": "DEBUG", "PAYMENTS_UI_SECRET_KEY": "the same after a restart"}
        page = guarded_page(system, folder, environ)
        url = f"http://127.0.0.1:{page.port}"
        page.environ = {**page.environ, **provider_settings(provider, url)}
        page.start()
        yield Guarded(system, page, provider, key, folder)
        page.stop()


@pytest.fixture
def sign_in_as(browser: Browser, guarded: Guarded) -> Iterator[Callable[[str], Visitor]]:
    """Return a function that opens the page as a signed-in user."""
    visitors: list[Visitor] = []

    def make(user: str) -> Visitor:
        visitor = Visitor(browser, guarded.url)
        visitors.append(visitor)
        visitor.page.on("response", guarded.note)
        page = visitor.open("/")
        page.get_by_role("link", name="Continue with single sign-on").click()
        page.get_by_role("link", name=f"Continue as {user}").click()
        page.wait_for_url(f"{visitor.url}/")
        return visitor

    yield make
    for visitor in visitors:
        guarded.seen.append(str(visitor.page.evaluate(STORED)))
        visitor.close()
    for visitor in visitors:
        assert not visitor.violations, visitor.violations


def changed_by_operations(system: WholeSystem) -> str:
    """Return the number of payments, operator actions and dead letters."""
    return system.sql(
        "SELECT (SELECT count(*) FROM payments), (SELECT count(*) FROM operator_actions),"
        " (SELECT count(*) FROM recon_jobs WHERE status = 'failed')"
    )


def assert_no_key_in_responses_or_logs(guarded: Guarded) -> None:
    """Check every response to a browser, and every log."""
    keys = [key[-43:] for key in (guarded.api_key, guarded.system.api_key or "") if key]
    logs = {log.name: log.read_text() for log in guarded.folder.glob("*.log")}
    for name, text in {"answers to browsers": "\n".join(guarded.seen), **logs}.items():
        assert text, name
        assert not [key for key in keys if key in text], name


def test_a_viewer_sees_no_actions_and_gets_403_for_sending_them(
    sign_in_as: Callable[[str], Visitor], guarded: Guarded
) -> None:
    system = guarded.system
    [job_id] = make_dead_letters(system, "acct_viewed", 1)
    visitor = sign_in_as("grace")
    page = visitor.open_live()
    expect(page.locator("#pay")).to_have_count(0)
    payment_id = pay_elsewhere(system, "acct_viewed", "3.00")
    expect(visitor.row(payment_id).locator(".badge")).to_have_text("Completed")
    page = visitor.open("/operate")
    expect(page.locator(f"#j-{job_id}")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Replay|Discard"))).to_have_count(0)
    before = changed_by_operations(system)
    # The token is valid: it is that of the viewer's sign-out form.
    for path, fields in (
        ("/payments", {"account": "acct_viewed", "amount": "5.00", "currency": "USD", "key": "k"}),
        (f"/operate/jobs/{job_id}/replay", {"reason": "because"}),
        (f"/operate/jobs/{job_id}/discard", {"reason": "because"}),
        ("/operate/replay", {"jobs": job_id}),
        ("/operate/discard", {"jobs": job_id, "reason": "because"}),
    ):
        status, text = page.evaluate(SEND_FORM, [path, fields])
        assert (status, "Only operators may do this" in text) == (403, True), path
    assert changed_by_operations(system) == before


def test_an_operators_actions_are_recorded_under_their_name(
    sign_in_as: Callable[[str], Visitor], guarded: Guarded
) -> None:
    system = guarded.system
    [job_id] = make_dead_letters(system, "acct_led", 1)
    visitor = sign_in_as("ada")
    page = visitor.open_live()
    payment_id = visitor.pay("acct_led", "12.00")
    expect(visitor.row(payment_id).locator(".badge")).to_have_text("Completed")
    page = visitor.open(f"/operate/jobs/{job_id}/replay")
    page.get_by_label("Reason").fill("The vault is open again")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".notice-done")).to_contain_text(f"Replayed dead letter {job_id}")
    page.get_by_role("link", name="Activity").first.click()
    rows = page.locator(".actions-table tbody tr")
    expect(rows.nth(0)).to_contain_text("ada@example.com")
    expect(rows.nth(0)).to_contain_text("The vault is open again")
    expect(rows.nth(1)).to_contain_text("ada@example.com")
    recorded = system.sql("SELECT action, actor, key_name FROM operator_actions ORDER BY id")
    assert recorded.splitlines()[-2:] == [
        "create|ada@example.com|payments-ui",
        "replay|ada@example.com|payments-ui",
    ]
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    visitor.open("/activity")
    expect(page.get_by_role("heading")).to_have_text("Sign in")
    # The browser holds no cookie that could restore the session.
    names = {cookie["name"] for cookie in visitor.context.cookies(guarded.url)}
    assert not names & {"payments_ui_session", "payments_ui_id_token"}


def test_the_page_reports_a_revoked_key_and_recovers_with_a_new_one(
    sign_in_as: Callable[[str], Visitor], guarded: Guarded
) -> None:
    system = guarded.system
    visitor = sign_in_as("ada")
    page = visitor.open_live()
    visitor.fill("acct_shut", "9.00")
    known = id_of(guarded.api_key)
    assert known is not None
    guarded.keys("revoke", known)
    # The stream that was already open ends too.
    expect(page.locator("html")).not_to_have_attribute("data-connection", "live")
    before = changed_by_operations(system)
    visitor.pay_button.click()
    alert = page.get_by_role("region", name="New payment").get_by_role("alert")
    expect(alert).to_contain_text("does not accept this page's key")
    assert changed_by_operations(system) == before
    expect(page.locator("#amount")).to_have_value("9.00")
    for path in ("/operate", "/activity", "/accounts/acct_led"):
        page = visitor.open(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "The page's API key is not accepted"
        )
        expect(page.locator(".error-detail")).to_contain_text("has to configure a valid key")
    page = visitor.open("/")
    expect(page.locator("#list")).to_contain_text("does not accept this page's key")
    expect(page.locator("#list")).to_contain_text("has to configure a valid key")
    assert not visitor.axe_findings()
    system.api_key = new_key()
    (guarded.folder / "key").write_text(system.api_key)
    guarded.keys(
        *("create", "--name", "payments-ui", "--scopes", "all"),
        *("--from-file", str(guarded.folder / "key")),
    )
    guarded.page.stop()
    guarded.page.environ = {**guarded.page.environ, "PAYMENTS_UI_API_KEY": system.api_key}
    guarded.page.start()
    visitor.open_live()  # Still signed in: the session is in the cookie, not in the process.
    assert "page_key_rejected" in (guarded.folder / "guarded-page.log").read_text()
    assert_no_key_in_responses_or_logs(guarded)


def test_the_pages_key_is_in_no_response_and_no_log(
    sign_in_as: Callable[[str], Visitor], guarded: Guarded
) -> None:
    for user in ("ada", "grace"):
        visitor = sign_in_as(user)
        for path in ("/", "/operate", "/activity", "/accounts/acct_led", "/nothing", "/metrics"):
            visitor.open(path)
        guarded.seen.append(json.dumps(visitor.context.cookies()))
    page = visitor.open("/")
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while "You are signed out" not in "\n".join(guarded.seen) and time.monotonic() < deadline:
        page.wait_for_timeout(50)  # The browser shows an answer before `note` has read its text.
    assert "You are signed out" in "\n".join(guarded.seen), "the browsers' answers were recorded"
    log = (guarded.folder / "guarded-page.log").read_text()
    assert '"level": "debug"' in log, "the page logged at the most detailed level"
    assert_no_key_in_responses_or_logs(guarded)
