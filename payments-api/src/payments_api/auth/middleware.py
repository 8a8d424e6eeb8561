"""Access control: authenticate each request by its API key before its handler runs."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from quart import Quart, Request, request

from payments_api import metrics
from payments_api.auth.caller import ANONYMOUS, UNAUTHENTICATED, Caller
from payments_api.auth.key_cache import KeyRing
from payments_api.http.errors import Forbidden
from payments_api.http.json_body import discard_body
from payments_api.limits.client_limits import ClientLimits
from payments_api.services import services
from payments_core.http.problems import Problem
from payments_core.http.telemetry import KEY_ID

CALLER = "payments.caller"  # In the ASGI scope, once the key is checked.
PUBLIC = None  # The scope of a route that needs no API key.
PUBLIC_BLUEPRINT = "control"  # Probes and metrics, which payments-core provides.
STYLESHEET = "static"  # Of /docs, and as public.

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def requires(scope: str | None) -> Callable[[ViewT], ViewT]:
    """Declare the scope that an API key needs for a route, or PUBLIC."""

    def declare(view: ViewT) -> ViewT:
        cast(Any, view).required_scope = scope
        return view

    return declare


def required_scopes(app: Quart) -> dict[str, str | None]:
    """Return the scope of each endpoint. Raises LookupError for a route that declares none."""
    scopes: dict[str, str | None] = {}
    for endpoint in {rule.endpoint for rule in app.url_map.iter_rules()} - {STYLESHEET}:
        if endpoint.startswith(f"{PUBLIC_BLUEPRINT}."):
            scopes[endpoint] = PUBLIC
            continue
        view = app.view_functions[endpoint]
        if not hasattr(view, "required_scope"):
            raise LookupError(f"{endpoint} declares no scope: add @requires(...)")
        scopes[endpoint] = view.required_scope
    return scopes


def caller() -> Caller:
    """Return the sender of the current request.

    With PAYMENTS_API_AUTH=off: ANONYMOUS, who holds every scope. On a public route with keys
    required: UNAUTHENTICATED, who holds none.
    """
    known: Caller | None = cast(dict[str, Any], request.scope).get(CALLER)
    if known is None:
        return ANONYMOUS if services().keys is None else UNAUTHENTICATED
    return known


class AccessControl:
    """Authentication, authorisation and the rate limit of API keys; `keys` is None if off."""

    def __init__(self, keys: KeyRing | None, limits: ClientLimits) -> None:
        self.keys = keys
        self._limits = limits

    def known_caller(self, authorization: str | None, scope: str) -> Caller | None:
        """Return the caller, or None if authentication needs the slow path or fails."""
        if self.keys is None:
            return ANONYMOUS
        known = self.keys.known(authorization)
        return known if known is not None and scope in known.scopes else None

    async def authorize(
        self, asgi: dict[str, Any], authorization: str | None, scope: str, keys: KeyRing
    ) -> None:
        """Admit a request whose key holds the scope.

        Raises Unauthorized, Forbidden, RateLimited, DatabaseUnavailable.
        """
        sender = keys.known(authorization) or await keys.caller_of(authorization)
        if scope not in sender.scopes:
            metrics.AUTH_REFUSALS.labels("scope").inc()
            raise Forbidden(scope)
        self.charge_key(asgi, sender)

    def charge_key(self, asgi: dict[str, Any], sender: Caller) -> None:
        """Note the caller in the ASGI scope and charge its key. Raises RateLimited."""
        if sender.key_id is None:
            return
        asgi[CALLER], asgi[KEY_ID] = sender, sender.key_id
        decision = self._limits.take_key(asgi, sender.key_id)
        if decision is not None:
            raise decision.problem()


def control_access(app: Quart, access: AccessControl) -> None:
    """Refuse requests whose API key does not hold the scope of their route.

    Raises LookupError, at start, for a route that declares no scope.
    """
    scopes = required_scopes(app)
    keys = access.keys
    if keys is None:
        return

    async def check_key() -> None:
        # The request itself: each access through the proxy costs as much as the rest.
        current: Request = request._get_current_object()  # type: ignore[attr-defined]  # Of the proxy.
        asgi = cast(dict[str, Any], current.scope)
        if CALLER in asgi:
            return  # The fast path has checked and charged it.
        rule = current.url_rule
        # A request without a route is answered 404 or 405, with or without a key.
        scope = None if rule is None else scopes.get(rule.endpoint)
        if scope is None:
            return
        try:
            await access.authorize(asgi, current.headers.get("Authorization"), scope, keys)
        except Problem:
            await discard_body(current)
            raise

    app.before_request(check_key)
