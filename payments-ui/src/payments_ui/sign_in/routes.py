"""Signing in and out."""

import logging
from time import time

from quart import Blueprint, Response, request, session
from quart.typing import ResponseReturnValue

from payments_ui.metrics import SIGN_INS, SIGN_OUTS
from payments_ui.sign_in.guard import (
    SignIn,
    clear_session,
    current_session,
    set_session,
    sign_in,
)
from payments_ui.sign_in.next_page import HOME, next_page
from payments_ui.sign_in.oidc import (
    IdTokenInvalid,
    Provider,
    ProviderRefused,
    ProviderUnavailable,
)
from payments_ui.sign_in.people import NoRole, person_of
from payments_ui.sign_in.roles import Role
from payments_ui.sign_in.sessions import Person, Session
from payments_ui.web.cookies import cookie_name
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.errors import form_expired_page
from payments_ui.web.responses import render, see_other

TRANSACTION_COOKIE = "payments_ui_oidc"
TRANSACTION_SECONDS = 600  # As long as somebody may take at the provider.
TRANSACTIONS_MAX = 4  # Windows in which one browser signs in at the same time.
ID_TOKEN_COOKIE = "payments_ui_id_token"  # noqa: S105 - a name  # nosec B105
COOKIE_CHARS_MAX = 3800  # Browsers take 4,096 with the name and what belongs to it.

blueprint = Blueprint("sign_in", __name__)
log = logging.getLogger(__name__)


def _address() -> str:
    return sign_in().addresses.of(request.scope)


def _failed(why: str, **more: object) -> None:
    """On record, without anything that was typed: people type passwords into wrong fields."""
    way = sign_in().settings.sign_in
    SIGN_INS.labels(way, why).inc()
    log.warning("sign_in_failed", extra={"way": way, "why": why, "address": _address(), **more})


def _signed_in(person: Person, wanted: str) -> Response:
    """A new session, and on to the page that was wanted."""
    begun = Session.begin(person)
    SIGN_INS.labels(person.method, "succeeded").inc()
    log.info(
        "sign_in_succeeded",
        extra={
            "way": person.method,
            "operator": person.name,
            "subject": person.subject,
            "role": person.role.name.lower(),
            "session": begun.id,
            "address": _address(),
        },
    )
    session.clear()  # What forms were signed with before is worth nothing any more.
    response = see_other(next_page(wanted))
    set_session(response, begun)
    return response


@blueprint.get("/sign-in")
async def page() -> ResponseReturnValue:
    """The form, or the way to the provider."""
    wanted = next_page(request.args.get("next"))
    if not sign_in().on or current_session() is not None:
        return see_other(wanted)
    return await _sign_in_page(wanted)


async def _sign_in_page(wanted: str, status: int = 200, **more: object) -> Response:
    headers = {"Retry-After": str(more["wait"])} if "wait" in more else {}
    here = sign_in().settings
    return await render(
        "sign_in.html", status, headers, way=here.sign_in, named=here.oidc_name, next=wanted, **more
    )


@blueprint.post("/sign-in")
async def by_password() -> ResponseReturnValue:
    """Name and password."""
    here = sign_in()
    if here.password is None:
        return see_other("/sign-in")
    sent = await request.form
    wanted = next_page(sent.get("next"))
    user, password = sent.get("user", "").strip(), sent.get("password", "")
    if not user or not password:
        return await _sign_in_page(wanted, 422, user=user, wrong="Both are needed.")
    address = _address()
    if seconds := here.throttle.take(address):
        _failed("throttled")
        return await _sign_in_page(wanted, 429, user=user, wait=int(seconds) + 1)
    if not await here.password.is_right(user, password):
        _failed("wrong_password")
        return await _sign_in_page(
            wanted, 403, user=user, wrong="Name and password do not belong together."
        )
    here.throttle.reset(address)
    name = here.settings.password_user
    return _signed_in(Person(name, name, Role.OPERATOR, "password"), wanted)


# --- by a provider --------------------------------------------------------------------------------


def _callback_url(here: SignIn) -> str:
    return f"{here.settings.public_url}/sign-in/callback"


def _transaction_cookie(here: SignIn) -> str:
    # Another host of the domain must not be able to set it: it would choose who signs in.
    return cookie_name(TRANSACTION_COOKIE, https=here.https)


def _id_token_cookie(here: SignIn) -> str:
    # Large, so only /sign-out gets it; the prefix __Host- would demand Path=/.
    return f"__Secure-{ID_TOKEN_COOKIE}" if here.https else ID_TOKEN_COOKIE


def _transactions(here: SignIn) -> dict[str, list[str | float]]:
    """Sign-ins that this browser has begun: state -> nonce, code verifier, page, end."""
    found = here.transactions.open(request.cookies.get(_transaction_cookie(here)))
    return {
        state: begun
        for state, begun in (found if isinstance(found, dict) else {}).items()
        if begun[3] > time()
    }


def _keep_transactions(
    response: Response, here: SignIn, transactions: dict[str, list[str | float]]
) -> None:
    kept = dict(list(transactions.items())[-TRANSACTIONS_MAX:])
    response.set_cookie(
        _transaction_cookie(here),
        here.transactions.seal(kept) if kept else "",
        max_age=TRANSACTION_SECONDS if kept else 0,
        path="/",
        secure=here.https,
        httponly=True,
        samesite="Lax",  # The provider's answer comes by a link from its site.
    )


@blueprint.get("/sign-in/start")
async def start() -> ResponseReturnValue:
    """Off to the provider."""
    here = sign_in()
    wanted = next_page(request.args.get("next"))
    if here.provider is None:
        return see_other(wanted)
    try:
        begun = await here.provider.begin(_callback_url(here))
    except (ProviderUnavailable, IdTokenInvalid) as error:
        return await _trouble("provider_unavailable", error)
    response = see_other(begun.url)
    ends_at = time() + TRANSACTION_SECONDS
    transactions = _transactions(here)
    transactions[begun.state] = [begun.nonce, begun.code_verifier, wanted, ends_at]
    _keep_transactions(response, here, transactions)
    return response


@blueprint.get("/sign-in/callback")
async def callback() -> ResponseReturnValue:
    """Back from the provider."""
    here = sign_in()
    if here.provider is None:
        return see_other(HOME)
    transactions = _transactions(here)
    begun = transactions.pop(request.args.get("state", ""), None)
    if begun is None:
        response = await _trouble("unknown_state")
    else:
        response = await _finish(here, here.provider, begun)
    _keep_transactions(response, here, transactions)
    return response


async def _finish(here: SignIn, provider: Provider, begun: list[str | float]) -> Response:
    nonce, code_verifier, wanted = (str(each) for each in begun[:3])
    try:
        await provider.check_sender(request.args.get("iss"))
        if error := request.args.get("error"):
            raise ProviderRefused(error[:100])
        claims, id_token = await provider.finish(
            request.args.get("code", ""), code_verifier, nonce, _callback_url(here)
        )
        response = _signed_in(person_of(here.settings, claims), wanted)
    except ProviderUnavailable as problem:
        return await _trouble("provider_unavailable", problem)
    except ProviderRefused as problem:
        denied = str(problem) == "access_denied"
        return await _trouble("denied" if denied else "provider_refused", problem)
    except IdTokenInvalid as problem:
        return await _trouble("id_token_invalid", problem)
    except NoRole as problem:
        return await _trouble("no_role", problem)
    sealed = here.id_tokens.seal(id_token)
    if len(sealed) <= COOKIE_CHARS_MAX:
        # Only for signing out there: sent with nothing else.
        response.set_cookie(
            _id_token_cookie(here),
            sealed,
            max_age=here.sessions.seconds_max,
            path="/sign-out",
            secure=here.https,
            httponly=True,
            samesite="Strict",
        )
    return response


TROUBLE = {
    "provider_unavailable": (
        503,
        "The sign-in service is not answering",
        "Nobody can sign in at the moment. Those who are signed in already can work on.",
    ),
    "provider_refused": (
        502,
        "The sign-in service refused",
        "It did not go on with this sign-in. Try again; if that does not help, whoever runs this "
        "page finds the reason in its log.",
    ),
    "denied": (403, "You were not signed in", "The sign-in was cancelled, or you may not use it."),
    "id_token_invalid": (
        502,
        "The sign-in cannot be trusted",
        "What the sign-in service said about you did not pass our checks, so it was not used. Try "
        "again; if that does not help, whoever runs this page finds the reason in its log.",
    ),
    "unknown_state": (
        400,
        "This sign-in has expired",
        "It took more than ten minutes, was finished already, or was begun in another browser.",
    ),
    "no_role": (
        403,
        "You have no access to this page",
        "You did sign in, but none of your groups may see payments. Whoever manages your groups "
        "can change that.",
    ),
}


async def _trouble(why: str, problem: Exception | None = None) -> Response:
    """A page that says what went wrong, and a line in the log that says why."""
    _failed(why, detail=str(problem or ""))
    status, title, detail = TROUBLE[why]
    name = problem.name if isinstance(problem, NoRole) else ""
    return await render("sign_in_trouble.html", status, title=title, detail=detail, name=name)


# --- out ------------------------------------------------------------------------------------------


@blueprint.errorhandler(CsrfFailed)
async def form_expired(error: CsrfFailed) -> ResponseReturnValue:
    """Accept a sign-out whose session has already ended; refuse any other form."""
    if request.endpoint == "sign_in.sign_out" and current_session() is None:
        return see_other("/signed-out")
    return await form_expired_page(error)


@blueprint.post("/sign-out")
async def sign_out() -> ResponseReturnValue:
    """Forget the session here, end its open pages, and go on to the provider to end its own."""
    here, ending = sign_in(), current_session()
    if ending is not None:
        SIGN_OUTS.inc()
        log.info("signed_out", extra={"operator": ending.person.name, "session": ending.id})
        here.on_sign_out(ending.id)
    session.clear()
    elsewhere = await _sign_out_elsewhere(here) if ending is not None else None
    if elsewhere is None:
        response = see_other("/signed-out")
    else:
        # Not a redirect: the answer to a form may not lead to another site (form-action).
        response = await render("signing_out.html", elsewhere=elsewhere)
    clear_session(response)
    response.delete_cookie(
        _id_token_cookie(here), path="/sign-out", secure=here.https, httponly=True
    )
    # Whatever the browser has kept of the pages goes too.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


async def _sign_out_elsewhere(here: SignIn) -> str | None:
    if here.provider is None:
        return None
    id_token = here.id_tokens.open(request.cookies.get(_id_token_cookie(here)))
    try:
        return await here.provider.sign_out_url(id_token, f"{here.settings.public_url}/signed-out")
    except (ProviderUnavailable, IdTokenInvalid) as problem:
        log.warning("provider_sign_out_failed", extra={"detail": str(problem)})
        return None


@blueprint.get("/signed-out")
async def signed_out() -> ResponseReturnValue:
    """Says so; other windows of this browser notice."""
    if not sign_in().on:
        return see_other(HOME)
    return await render("signed_out.html")
