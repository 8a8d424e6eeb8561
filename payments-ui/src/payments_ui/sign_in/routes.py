"""Sign-in and sign-out."""

import logging

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
from payments_ui.sign_in.provider_cookies import (
    add_transaction,
    delete_id_token,
    id_token_of,
    keep_id_token,
    keep_transactions,
    transactions_of,
)
from payments_ui.sign_in.roles import Role
from payments_ui.sign_in.sessions import Person, Session
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.errors import form_expired_page
from payments_ui.web.responses import render, see_other

blueprint = Blueprint("sign_in", __name__)
log = logging.getLogger(__name__)


def _address() -> str:
    return sign_in().addresses.of(request.scope)


def _failed(why: str, **more: object) -> None:
    """Log and count a failure, but not the input: people type passwords into wrong fields."""
    method = sign_in().settings.sign_in
    SIGN_INS.labels(method, why).inc()
    log.warning("sign_in_failed", extra={"way": method, "why": why, "address": _address(), **more})


def _signed_in(person: Person, page: str) -> Response:
    """Begin a session and redirect to the page."""
    new_session = Session.begin(person)
    SIGN_INS.labels(person.method, "succeeded").inc()
    log.info(
        "sign_in_succeeded",
        extra={
            "way": person.method,
            "operator": person.name,
            "subject": person.subject,
            "role": person.role.name.lower(),
            "session": new_session.id,
            "address": _address(),
        },
    )
    session.clear()  # Forms drawn before sign-in become invalid.
    response = see_other(next_page(page))
    set_session(response, new_session)
    return response


@blueprint.get("/sign-in")
async def page() -> ResponseReturnValue:
    """Show the form, or the link to the provider."""
    target = next_page(request.args.get("next"))
    if not sign_in().on or current_session() is not None:
        return see_other(target)
    return await _sign_in_page(target)


async def _sign_in_page(target: str, status: int = 200, **more: object) -> Response:
    headers = {"Retry-After": str(more["wait"])} if "wait" in more else {}
    settings = sign_in().settings
    return await render(
        "sign_in.html",
        status,
        headers,
        method=settings.sign_in,
        provider_name=settings.oidc_name,
        next=target,
        **more,
    )


@blueprint.post("/sign-in")
async def by_password() -> ResponseReturnValue:
    """Sign in by name and password."""
    auth = sign_in()
    if auth.password is None:
        return see_other("/sign-in")
    form = await request.form
    target = next_page(form.get("next"))
    user, password = form.get("user", "").strip(), form.get("password", "")
    if not user or not password:
        return await _sign_in_page(target, 422, user=user, wrong="Enter name and password.")
    address = _address()
    if seconds := auth.throttle.take(address):
        _failed("throttled")
        return await _sign_in_page(target, 429, user=user, wait=int(seconds) + 1)
    if not await auth.password.is_right(user, password):
        _failed("wrong_password")
        return await _sign_in_page(target, 403, user=user, wrong="Incorrect name or password.")
    auth.throttle.reset(address)
    name = auth.settings.password_user
    return _signed_in(Person(name, name, Role.OPERATOR, "password"), target)


# --- by a provider --------------------------------------------------------------------------------


def _callback_url(auth: SignIn) -> str:
    return f"{auth.settings.public_url}/sign-in/callback"


@blueprint.get("/sign-in/start")
async def start() -> ResponseReturnValue:
    """Redirect to the provider."""
    auth = sign_in()
    target = next_page(request.args.get("next"))
    if auth.provider is None:
        return see_other(target)
    try:
        begun = await auth.provider.begin(_callback_url(auth))
    except (ProviderUnavailable, IdTokenInvalid) as error:
        return await _trouble("provider_unavailable", error)
    response = see_other(begun.url)
    transactions = transactions_of(auth)
    add_transaction(transactions, begun, target)
    keep_transactions(response, auth, transactions)
    return response


@blueprint.get("/sign-in/callback")
async def callback() -> ResponseReturnValue:
    """Finish a sign-in with the provider's answer."""
    auth = sign_in()
    if auth.provider is None:
        return see_other(HOME)
    transactions = transactions_of(auth)
    begun = transactions.pop(request.args.get("state", ""), None)
    if begun is None:
        response = await _trouble("unknown_state")
    else:
        response = await _finish(auth, auth.provider, begun)
    keep_transactions(response, auth, transactions)
    return response


async def _finish(auth: SignIn, provider: Provider, begun: list[str | float]) -> Response:
    nonce, code_verifier, target = (str(each) for each in begun[:3])
    try:
        await provider.check_sender(request.args.get("iss"))
        if error := request.args.get("error"):
            raise ProviderRefused(error[:100])
        claims, id_token = await provider.finish(
            request.args.get("code", ""), code_verifier, nonce, _callback_url(auth)
        )
        response = _signed_in(person_of(auth.settings, claims), target)
    except ProviderUnavailable as problem:
        return await _trouble("provider_unavailable", problem)
    except ProviderRefused as problem:
        denied = str(problem) == "access_denied"
        return await _trouble("denied" if denied else "provider_refused", problem)
    except IdTokenInvalid as problem:
        return await _trouble("id_token_invalid", problem)
    except NoRole as problem:
        return await _trouble("no_role", problem)
    keep_id_token(response, auth, id_token)
    return response


TROUBLE = {
    "provider_unavailable": (
        503,
        "The sign-in service is not answering",
        "Sign-in is not possible at the moment. Existing sessions continue.",
    ),
    "provider_refused": (
        502,
        "The sign-in service rejected the sign-in",
        "Try again. If it fails again, the administrator finds the reason in the log of this page.",
    ),
    "denied": (
        403,
        "You are not signed in",
        "The sign-in was cancelled, or the sign-in service denied you access.",
    ),
    "id_token_invalid": (
        502,
        "The sign-in cannot be trusted",
        "The answer of the sign-in service did not pass the checks. Try again. If it fails again, "
        "the administrator finds the reason in the log of this page.",
    ),
    "unknown_state": (
        400,
        "This sign-in has expired",
        "It took more than ten minutes, is already complete, or began in another browser.",
    ),
    "no_role": (
        403,
        "You have no access to this page",
        "Your account has none of the groups that may see payments. Ask the administrator of your "
        "groups.",
    ),
}


async def _trouble(why: str, problem: Exception | None = None) -> Response:
    """Log the failure and show its page."""
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
    """End the session and its open pages, here and at the provider."""
    auth, ended = sign_in(), current_session()
    if ended is not None:
        SIGN_OUTS.inc()
        log.info("signed_out", extra={"operator": ended.person.name, "session": ended.id})
        auth.on_sign_out(ended.id)
    session.clear()
    provider_url = await _provider_sign_out_url(auth) if ended is not None else None
    if provider_url is None:
        response = see_other("/signed-out")
    else:
        # Not a redirect: the policy's form-action forbids a form to lead to another site.
        response = await render("signing_out.html", provider_url=provider_url)
    clear_session(response)
    delete_id_token(response, auth)
    # Also removes pages from the browser's cache.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


async def _provider_sign_out_url(auth: SignIn) -> str | None:
    if auth.provider is None:
        return None
    back = f"{auth.settings.public_url}/signed-out"
    try:
        return await auth.provider.sign_out_url(id_token_of(auth), back)
    except (ProviderUnavailable, IdTokenInvalid) as problem:
        log.warning("provider_sign_out_failed", extra={"detail": str(problem)})
        return None


@blueprint.get("/signed-out")
async def signed_out() -> ResponseReturnValue:
    """Confirm the sign-out; the browser's other windows sign out as well."""
    if not sign_in().on:
        return see_other(HOME)
    return await render("signed_out.html")
