"""The guard of every request: its session, and whether the session's role is sufficient."""

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import cast

from quart import Quart, Response, g, request

from payments_core.http.client_address import ClientAddresses, networks_of
from payments_ui.metrics import show_sign_ins
from payments_ui.per_app import PerApp
from payments_ui.sign_in.next_page import HOME, next_page
from payments_ui.sign_in.oidc import Provider
from payments_ui.sign_in.password import PasswordCheck
from payments_ui.sign_in.roles import Role, role_of_route
from payments_ui.sign_in.sessions import SealedCookies, Session, Sessions
from payments_ui.sign_in.settings import SignInSettings
from payments_ui.sign_in.throttle import Throttle
from payments_ui.web.cookies import cookie_name

BACKGROUND = "Payments-Background"  # Header of a request that a script sent without a click.
SESSION_COOKIE = "payments_ui_session"


class SignedOut(Exception):
    """The request needs a session and has none, or one that has ended."""


class NotAllowed(Exception):
    """The signed-in person lacks the role."""


@dataclass(frozen=True)
class SignIn:
    """The objects of sign-in, one of each per process."""

    settings: SignInSettings
    sessions: Sessions
    transactions: SealedCookies
    id_tokens: SealedCookies
    throttle: Throttle
    addresses: ClientAddresses
    password: PasswordCheck | None
    provider: Provider | None
    https: bool
    on_sign_out: Callable[[str], None]  # Called with the id of a session that has ended.

    @classmethod
    def made(
        cls,
        settings: SignInSettings,
        secret: str,
        *,
        on_sign_out: Callable[[str], None],
    ) -> "SignIn":
        """Create the objects from the settings."""
        method = settings.sign_in
        return cls(
            settings,
            Sessions(settings, secret),
            SealedCookies(secret, "oidc transaction"),
            SealedCookies(secret, "id token"),
            Throttle(),
            ClientAddresses(networks_of(settings.trusted_proxies), settings.forwarded_header),
            PasswordCheck(settings) if method == "password" else None,
            Provider(settings) if method == "oidc" else None,
            settings.https,
            on_sign_out,
        )

    @property
    def on(self) -> bool:
        """Whether sign-in is required."""
        return self.settings.sign_in != "off"

    @property
    def session_cookie(self) -> str:
        """Name of the session's cookie."""
        return cookie_name(SESSION_COOKIE, https=self.https)


sign_in = PerApp[SignIn]("sign_in")


def current_session() -> Session | None:
    """Return the session of the current request; None without one."""
    return cast("Session | None", g.get("session"))


def session_id() -> str:
    """Return the id of the current session; "" without one."""
    session = current_session()
    return session.id if session else ""


def operator_name() -> str | None:
    """Return the name that the API records; None without sign-in."""
    session = current_session()
    return session.person.name if session else None


def may_operate() -> bool:
    """Whether the current visitor may create payments and operate."""
    session = current_session()
    return not sign_in().on or (session is not None and session.person.role >= Role.OPERATOR)


async def admit() -> None:
    """Find the session, before every request. Raises SignedOut, NotAllowed."""
    auth = sign_in()
    if not auth.on:
        return
    session = auth.sessions.read(request.cookies.get(auth.session_cookie))
    g.session = session
    required = role_of_route(request.endpoint)
    if required == Role.PUBLIC:
        return
    if session is None:
        raise SignedOut
    if session.person.role < required:
        raise NotAllowed


def current_page() -> str:
    """Return the page that the browser shows or requests; sign-in returns to it."""
    if request.headers.get("HX-Request") == "true":
        url = request.headers.get("HX-Current-URL", "")
        _, _, path = url.partition("://")
        return next_page("/" + path.partition("/")[2])
    if request.method not in {"GET", "HEAD"}:
        return HOME
    return next_page(request.full_path.rstrip("?"))


async def renew(response: Response) -> Response:
    """Move the idle end of the session after a click; requests by scripts do not move it."""
    session = current_session()
    if session is None or role_of_route(request.endpoint) == Role.PUBLIC:
        return response
    if request.headers.get(BACKGROUND) or request.endpoint == "live.live":
        return response
    if renewed := sign_in().sessions.renewed(session):
        set_session(response, renewed)
    return response


def set_session(response: Response, session: Session) -> None:
    """Set the session's cookie."""
    auth = sign_in()
    response.set_cookie(
        auth.session_cookie,
        auth.sessions.write(session),
        max_age=max(1, int(session.started_at + auth.sessions.seconds_max - time())),
        path="/",
        secure=auth.https,
        httponly=True,
        samesite="Lax",
    )


def clear_session(response: Response) -> None:
    """Delete the session's cookie."""
    auth = sign_in()
    response.delete_cookie(
        auth.session_cookie, path="/", secure=auth.https, httponly=True, samesite="Lax"
    )


def guard(app: Quart, auth: SignIn) -> None:
    """Guard every route of the app. Call it before other before_request functions."""
    sign_in.install(app, auth)
    show_sign_ins(auth.settings.sign_in)
    app.before_request(admit)
    app.after_request(renew)

    @app.context_processor
    async def for_templates() -> dict[str, object]:
        return {
            "sign_in_on": auth.on,
            "signed_in": current_session(),
            "may_operate": may_operate(),
        }
