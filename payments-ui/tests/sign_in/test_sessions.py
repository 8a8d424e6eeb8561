"""Sessions: sealed in a cookie, valid at every replica, ended on time."""

from collections.abc import Callable
from time import time

import pytest
from quart import Quart

from payments_ui.live.feed import live_feed
from payments_ui.sign_in import guard, sessions
from payments_ui.sign_in.guard import sign_in
from payments_ui.sign_in.roles import Role
from payments_ui.sign_in.sessions import Person, SealedCookies, Session, Sessions
from testkit.sign_in.page_browser import PASSWORD, SECRET, Browser, password_app


async def test_each_sign_in_has_a_new_session_and_new_form_tokens(
    browser: Browser,
) -> None:
    before = await (await browser.get("/sign-in")).get_data(as_text=True)
    await browser.sign_in()
    token = before.partition('name="csrf" value="')[2].partition('"')[0]
    answer = await browser.client.post(
        "/sign-out", form={"csrf": token}, headers={"Origin": "http://localhost"}
    )
    assert answer.status_code == 403


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Advances the time by a number of seconds."""
    now = [time()]
    for module in (sessions, guard):
        monkeypatch.setattr(module, "time", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


async def is_in(browser: Browser, **headers: str) -> bool:
    return (await browser.get("/operate/replay", **headers)).status_code == 200


async def test_an_idle_session_ends(browser: Browser, clock: Callable[[float], None]) -> None:
    await browser.sign_in()
    for _ in range(3):
        clock(50 * 60)
        assert await is_in(browser)
    for _ in range(2):  # Requests by the page's scripts do not count as clicks.
        clock(29 * 60)
        await browser.get("/operate/replay", **{guard.BACKGROUND: "1"})
    clock(3 * 60)
    assert not await is_in(browser)


async def test_a_session_ends_after_its_maximum_despite_activity(
    browser: Browser, clock: Callable[[float], None]
) -> None:
    await browser.sign_in()
    for _ in range(23):
        clock(30 * 60)
        assert await is_in(browser)
    clock(31 * 60)
    assert not await is_in(browser)


def session_of(app: Quart) -> str:
    return sign_in.of(app).sessions.write(
        Session.begin(Person("ada", "ada", Role.OPERATOR, "password"))
    )


async def opens(app: Quart, cookie: str) -> bool:
    answer = await app.test_client().get(
        "/operate/replay", headers={"Cookie": f"payments_ui_session={cookie}"}
    )
    return answer.status_code == 200


async def test_a_session_is_valid_at_every_replica_and_nowhere_else() -> None:
    cookie = session_of(password_app())
    assert await opens(password_app(), cookie)
    assert not await opens(password_app(secret_key="another secret of ours"), cookie)
    assert not await opens(password_app(password_user="grace"), cookie)
    assert not await opens(password_app(password_hash=None, password="another one of ours"), cookie)


@pytest.mark.parametrize("content", [None, 7, [], ["x"] * 6, {"a": 1}])
async def test_an_invalid_session_is_rejected(content: object) -> None:
    app = password_app()
    for forged in (
        "x",
        session_of(app)[:-4] + "AAA=",
        sign_in.of(app).sessions._cookies.seal(content),
        SealedCookies(SECRET, "id token").seal(content),
    ):
        assert not await opens(app, forged)


def test_a_sessions_content_is_encrypted() -> None:
    settings = sign_in.of(password_app()).settings
    written = Sessions(settings, SECRET).write(
        Session.begin(Person("subject-of-ada", "ada", Role.VIEWER, "oidc"))
    )
    assert "ada" not in written


@pytest.mark.parametrize("secure", [False, True])
async def test_the_cookie_is_protected_from_scripts_and_other_sites(
    browser_of: Callable[[Quart], Browser], secure: bool
) -> None:
    browser = browser_of(password_app(public_url="https://page.example" if secure else None))
    answer = await browser.client.get("/sign-in")
    token = (await answer.get_data(as_text=True)).partition('name="csrf" value="')[2]
    cookies = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    answer = await browser.client.post(
        "/sign-in",
        form={"csrf": token.partition('"')[0], "user": "ada", "password": PASSWORD},
        headers={"Origin": "http://localhost", **cookies},
    )
    [cookie] = [c for c in answer.headers.getlist("Set-Cookie") if "_session=" in c]
    assert cookie.startswith("__Host-") == secure
    assert ("Secure" in cookie) == secure
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="))
    assert "Domain" not in cookie


async def test_a_fragment_requested_after_the_session_leads_to_sign_in(
    browser: Browser,
) -> None:
    answer = await browser.get(
        "/operate",
        **{"HX-Request": "true", "HX-Current-URL": "http://localhost/operate?cursor=a"},
    )
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/operate%3Fcursor%3Da"


async def test_a_stream_ends_with_its_session(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()
    feed = live_feed.of(browser.client.app)
    frames = feed.frames(None, "of ada", 3600.0)
    others = feed.frames(None, "of grace", 3600.0)
    for stream in (frames, others):
        assert b"state" in await anext(stream)
        assert b"resync" in await anext(stream)
    feed.end_session("of ada")
    with pytest.raises(StopAsyncIteration):
        await anext(frames)
    short = feed.frames(None, "of ada", 0.01)
    assert [name async for name in short][-1:]
    await others.aclose()
