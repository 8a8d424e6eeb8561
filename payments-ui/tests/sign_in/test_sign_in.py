"""Pages and actions require sign-in, and a session ends on time."""

import logging
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from quart import Quart

from payments_ui.live import routes as live_routes
from payments_ui.live.feed import live_feed
from payments_ui.sign_in.guard import sign_in
from payments_ui.sign_in.next_page import next_page
from payments_ui.sign_in.roles import ROUTES, Role
from testkit.sign_in.oidc_provider import OidcProvider
from testkit.sign_in.page_browser import PASSWORD, Browser, app_with, oidc_app

PATHS = {
    "statement_acts.ask": "/statements/bank/lines/1/explain",
    "statement_acts.act": "/statements/bank/lines/1/explain",
    "operate.ask_several": "/operate/replay",
    "operate.act_on_several": "/operate/replay",
    "payments.show": "/payments/x",
    "accounts.show": "/accounts/x",
    "accounts.statement_csv": "/accounts/x/statement.csv",
    "operate.ask": "/operate/jobs/1/replay",
    "operate.act": "/operate/jobs/1/replay",
    "webhooks.ask": "/webhooks/1/delete",
    "webhooks.act": "/webhooks/1/delete",
}


def rules(app: Quart) -> dict[str, tuple[str, set[str]]]:
    """Endpoint -> a path to it and its methods."""
    return {
        rule.endpoint: (PATHS.get(rule.endpoint, rule.rule), rule.methods or set())
        for rule in app.url_map.iter_rules()
    }


def test_every_route_has_a_role_and_every_role_a_route() -> None:
    assert rules(app_with()).keys() == ROUTES.keys()


async def test_without_a_session_only_public_routes_are_served(
    browser: Browser,
) -> None:
    app = browser.client.app
    for endpoint, (path, methods) in rules(app).items():
        if ROUTES[endpoint] == Role.PUBLIC:
            continue
        method = "POST" if "POST" in methods else "GET"
        answer = await browser.client.open(  # type: ignore[call-arg]  # json has a default
            path, method=method
        )
        assert answer.status_code == 303, endpoint
        assert answer.headers["Location"].startswith("/sign-in"), endpoint


async def test_a_viewer_gets_403_from_operators_routes(
    at_provider: Browser,
) -> None:
    await at_provider.sign_in_as("grace")
    for endpoint, (path, methods) in rules(at_provider.client.app).items():
        if ROUTES[endpoint] != Role.OPERATOR:
            continue
        method = "POST" if "POST" in methods else "GET"
        answer = await at_provider.client.open(  # type: ignore[call-arg]  # json has a default
            path, method=method
        )
        assert answer.status_code == 403, endpoint
        assert "Only operators" in await answer.get_data(as_text=True)


async def test_the_right_password_signs_in_and_returns_to_the_page(browser: Browser) -> None:
    answer = await browser.sign_in(next="/accounts/a?currency=EUR")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/a?currency=EUR")
    assert (await browser.get("/operate/replay")).status_code == 200


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [("ada", "wrong", 403), ("eve", PASSWORD, 403), ("ada", "x" * 2000, 403), ("ada", "", 422)],
)
async def test_any_other_name_or_password_is_rejected(
    browser: Browser, user: str, password: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await browser.sign_in(password, user)
    assert answer.status_code == status
    page = await answer.get_data(as_text=True)
    assert not password or password not in page
    assert (await browser.get("/operate")).status_code == 303
    assert not any(PASSWORD in str(vars(record)) for record in caplog.records)


async def test_sign_ins_are_recorded(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await browser.sign_in("wrong wrong wrong")
        await browser.sign_in()
        await browser.send("/sign-out", "/operate/replay")
    said = [record for record in caplog.records if record.name.endswith("sign_in.routes")]
    assert [record.message for record in said] == [
        "sign_in_failed",
        "sign_in_succeeded",
        "signed_out",
    ]
    succeeded = vars(said[1])
    assert (succeeded["operator"], succeeded["role"], succeeded["way"]) == (
        "ada",
        "operator",
        "password",
    )
    assert succeeded["session"] == vars(said[2])["session"]
    for outcome in ("succeeded", "wrong_password"):
        labels = {"way": "password", "outcome": outcome}
        assert (REGISTRY.get_sample_value("payments_ui_sign_ins_total", labels) or 0) >= 1


async def test_signing_out_ends_the_session_and_resists_cross_site_requests(
    browser: Browser,
) -> None:
    await browser.sign_in()
    assert (await browser.client.post("/sign-out")).status_code == 403
    answer = await browser.send("/sign-out", "/operate/replay")
    assert answer.headers["Location"] == "/signed-out"
    assert (await browser.get("/operate")).status_code == 303


@pytest.mark.parametrize(
    "text",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/\t/evil.example", "/\n/evil", "javascript:alert(1)", "evil", "", "/" + "a" * 1001),
        *("/sign-in", "/sign-out", "/sign-in/start", "/live?since=1", "/é", " /operate"),
    ],
)
async def test_sign_in_never_redirects_to_another_site(browser: Browser, text: str) -> None:
    assert next_page(text) == "/"
    answer = await browser.sign_in(next=text)
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("text", ["/", "/operate", "/accounts/a%2Fb?currency=EUR&cursor=x%3D"])
def test_sign_in_returns_to_our_own_pages(text: str) -> None:
    assert next_page(text) == text
    assert next_page(f"{text}#part") == text


async def test_without_sign_in_its_pages_redirect_to_the_start() -> None:
    client = app_with().test_client()
    for path in ("/sign-in", "/sign-in/start", "/sign-in/callback", "/signed-out"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/"), path
    answer = await Browser(client).send("/operate/replay", "/", jobs="7")
    page = await answer.get_data(as_text=True)
    assert "Your name" in page
    assert "Sign out" not in page


async def test_a_signed_in_user_cannot_enter_another_name(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.send("/operate/replay", "/", jobs="7", actor="somebody else")
    page = await answer.get_data(as_text=True)
    assert "Your name" not in page
    assert "Recorded in the audit log as <b>ada</b>" in page
    assert "somebody else" not in page


async def test_one_users_streams_are_limited(
    browser: Browser, browser_of: Callable[[Quart], Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_routes, "PAGES_PER_PERSON_MAX", 2)
    app = browser.client.app
    feed = live_feed.of(app)
    pages = [feed.frames(None, f"session {n}", 3600.0, who) for n, who in enumerate(["ada"] * 2)]
    for page in pages:
        await anext(page)
    again = browser_of(app)
    await again.sign_in()
    assert (await again.get("/live")).status_code == 429, "in another session too"
    await pages[0].aclose()
    monkeypatch.setattr(feed, "closing", True)  # A stream that ends at once.
    monkeypatch.setattr(type(feed), "full", False)
    assert (await again.get("/live")).status_code == 200
    await pages[1].aclose()


async def test_the_live_stream_requires_a_session(
    at_provider: Browser, provider: OidcProvider
) -> None:
    assert (await at_provider.get("/live", **{"HX-Request": "true"})).status_code == 401
    assert sign_in.of(oidc_app(provider)).on
