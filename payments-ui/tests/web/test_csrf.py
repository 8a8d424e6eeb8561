"""A form is accepted only from the session for which it was drawn, and every answer is guarded."""

import re

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.page_browser import Browser, password_app

KEY = "k" * 20
ORIGIN = {"Origin": "http://localhost"}


def make_app() -> Quart:
    # Nothing listens on this port: these tests concern checks before any request to the API.
    return create_app(Settings(api_url="http://127.0.0.1:9", secret_key=KEY))  # type: ignore[arg-type]  # A str is coerced.


@pytest.fixture
def client() -> TestClientProtocol:
    return make_app().test_client()


async def token_for(client: TestClientProtocol) -> str:
    page = await (await client.get("/")).get_data(as_text=True)
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found.group(1)


async def send(
    client: TestClientProtocol, csrf: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Posts a confirmation without a name: 422 if the token is accepted, 403 if it is not."""
    response = await client.post(
        "/operate/replay", form={"csrf": csrf}, headers=ORIGIN if headers is None else headers
    )
    return response.status_code, await response.get_data(as_text=True)


async def test_a_form_of_this_page_is_accepted(client: TestClientProtocol) -> None:
    status, _ = await send(client, await token_for(client))
    assert status == 422


@pytest.mark.parametrize("token", ["", "forged", "ImFiYyI.abc"])
async def test_a_form_without_a_valid_token_is_rejected(
    client: TestClientProtocol, token: str
) -> None:
    await token_for(client)
    status, page = await send(client, token)
    assert status == 403
    assert "expired" in page


async def test_another_sessions_token_is_rejected(client: TestClientProtocol) -> None:
    theirs = await token_for(make_app().test_client())
    await token_for(client)
    assert (await send(client, theirs))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_from_another_site_is_rejected(
    client: TestClientProtocol, headers: dict[str, str]
) -> None:
    token = await token_for(client)
    assert (await send(client, token, headers))[0] == 403


async def test_an_expired_payment_form_keeps_its_input_and_key(
    client: TestClientProtocol,
) -> None:
    key = "5f0c9f5e-3a44-4e55-9d0e-0d5f0c9f5e3a"
    response = await client.post(
        "/payments",
        form={"accountId": "acct_1", "amount": "5", "idempotencyKey": key, "csrf": "old"},
        headers={**ORIGIN, "HX-Request": "true"},
    )
    page = await response.get_data(as_text=True)
    assert response.status_code == 403
    assert key in page
    assert 'value="acct_1"' in page


@pytest.mark.parametrize("path", ["/", "/operate", "/static/tokens.css", "/nothing", "/health"])
async def test_every_answer_has_security_headers(client: TestClientProtocol, path: str) -> None:
    headers = (await client.get(path)).headers
    assert path.startswith("/static/") or headers["Cache-Control"] == "no-store"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("public_url", "https"), [("https://payments.example", True), ("http://localhost", False)]
)
async def test_https_makes_cookies_secure_and_sets_hsts(public_url: str, https: bool) -> None:
    settings = Settings(api_url="http://127.0.0.1:9", secret_key=KEY, public_url=public_url)  # type: ignore[arg-type]  # Strings are coerced.
    response = await create_app(settings).test_client().get("/")
    cookie = response.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert "Domain" not in cookie
    assert cookie.startswith("__Host-payments_ui=") == https
    assert ("Secure" in cookie) == https
    assert (response.headers.get("Strict-Transport-Security") == "max-age=31536000") == https


async def test_a_form_is_valid_only_in_its_own_session(browser: Browser) -> None:
    """A host of the same domain can set its own nonce as the cookie, and then knows the token."""
    planted = password_app().test_client()
    page = await (await planted.get("/sign-in")).get_data(as_text=True)
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    assert planted.cookie_jar is not None
    [nonce] = [cookie for cookie in planted.cookie_jar if cookie.name == "payments_ui"]
    assert (await browser.sign_in()).status_code == 303
    browser.client.set_cookie("localhost", "payments_ui", str(nonce.value))
    assert (await send(browser.client, token))[0] == 403


async def test_signing_out_of_an_ended_session_is_accepted(browser: Browser) -> None:
    await browser.sign_in()
    page = await (await browser.get("/")).get_data(as_text=True)
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    browser.client.delete_cookie("localhost", "payments_ui_session")
    response = await browser.client.post("/sign-out", form={"csrf": token}, headers=ORIGIN)
    assert response.status_code == 303
    assert response.headers["Location"] == "/signed-out"


async def test_no_template_has_inline_scripts_or_styles(client: TestClientProtocol) -> None:
    for path in ("/", "/operate/replay", "/nothing"):
        page = await (await client.get(path)).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
