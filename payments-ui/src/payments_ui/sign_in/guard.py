"""Before every request: who asks, and whether the route is open to them."""

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

BACKGROUND = "Payments-Background"  # A request that a script makes while nobody clicks.
SESSION_COOKIE = "payments_ui_session"


class SignedOut(Exception):
    """The page is asked for by somebody who has not signed in, or whose session has ended."""


class NotAllowed(Exception):
    """Somebody who has signed in may see this, and not do it."""


@dataclass(frozen=True)
class SignIn:
    """What signing in works with; one of it in each process. `way` is off, password or oidc."""

    settings: SignInSettings
    sessions: Sessions
    transactions: SealedCookies
    id_tokens: SealedCookies
    throttle: Throttle
    addresses: ClientAddresses
    password: PasswordCheck | None
    provider: Provider | None
    https: bool
    on_sign_out: Callable[[str], None]  # Told the id of a session that has ended.

    @classmethod
    def made(
        cls,
        settings: SignInSettings,
        secret: str,
        *,
        on_sign_out: Callable[[str], None],
    ) -> "SignIn":
        """As the settings ask for it."""
        way = settings.sign_in
        return cls(
            settings,
            Sessions(settings, secret),
            SealedCookies(secret, "oidc transaction"),
            SealedCookies(secret, "id token"),
            Throttle(),
            ClientAddresses(networks_of(settings.trusted_proxies), settings.forwarded_header),
            PasswordCheck(settings) if way == "password" else None,
            Provider(settings) if way == "oidc" else None,
            settings.https,
            on_sign_out,
        )

    @property
    def on(self) -> bool:
        """Whether anybody has to sign in."""
        return self.settings.sign_in != "off"

    @property
    def session_cookie(self) -> str:
        """Name of the session's cookie."""
        return cookie_name(SESSION_COOKIE, https=self.https)


sign_in = PerApp[SignIn]("sign_in")


def current_session() -> Session | None:
    """Of whoever asks; None where nobody has to sign in, or has."""
    return cast("Session | None", g.get("session"))


def session_id() -> str:
    """Return the id of the current session; "" without one."""
    session = current_session()
    return session.id if session else ""


def operator_name() -> str | None:
    """Who acts, as the API is told; None where nobody has to sign in."""
    session = current_session()
    return session.person.name if session else None


def may_operate() -> bool:
    """Whether whoever asks may pay and decide."""
    session = current_session()
    return not sign_in().on or (session is not None and session.person.role >= Role.OPERATOR)


async def admit() -> None:
    """Before every request. Raises SignedOut, NotAllowed."""
    here = sign_in()
    if not here.on:
        return
    session = here.sessions.read(request.cookies.get(here.session_cookie))
    g.session = session
    wanted = role_of_route(request.endpoint)
    if wanted == Role.PUBLIC:
        return
    if session is None:
        raise SignedOut
    if session.person.role < wanted:
        raise NotAllowed


def wanted_page() -> str:
    """The page that the browser shows, or is about to: where to go on after signing in."""
    if request.headers.get("HX-Request") == "true":
        shown = request.headers.get("HX-Current-URL", "")
        _, _, path = shown.partition("://")
        return next_page("/" + path.partition("/")[2])
    if request.method not in {"GET", "HEAD"}:
        return HOME
    return next_page(request.full_path.rstrip("?"))


async def renew(response: Response) -> Response:
    """After every request: a click moves the end of the session; what scripts ask does not."""
    session = current_session()
    if session is None or role_of_route(request.endpoint) == Role.PUBLIC:
        return response
    if request.headers.get(BACKGROUND) or request.endpoint == "live.live":
        return response
    if renewed := sign_in().sessions.renewed(session):
        set_session(response, renewed)
    return response


def set_session(response: Response, session: Session) -> None:
    """Let the browser keep it, until it ends at the latest."""
    here = sign_in()
    response.set_cookie(
        here.session_cookie,
        here.sessions.write(session),
        max_age=max(1, int(session.started_at + here.sessions.seconds_max - time())),
        path="/",
        secure=here.https,
        httponly=True,
        samesite="Lax",
    )


def clear_session(response: Response) -> None:
    """Let the browser forget it."""
    here = sign_in()
    response.delete_cookie(
        here.session_cookie, path="/", secure=here.https, httponly=True, samesite="Lax"
    )


def guard(app: Quart, here: SignIn) -> None:
    """Put the guard on the app; before anything else that looks at a request."""
    sign_in.install(app, here)
    show_sign_ins(here.settings.sign_in)
    app.before_request(admit)
    app.after_request(renew)

    @app.context_processor
    async def for_templates() -> dict[str, object]:
        return {
            "sign_in_on": here.on,
            "who": current_session(),
            "may_operate": may_operate(),
        }
