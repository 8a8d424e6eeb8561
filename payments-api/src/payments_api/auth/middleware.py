"""Who may do what: every request's API key is checked here, before its handler runs."""

from typing import Any, cast

from quart import Quart, Request, request

from payments_api import metrics
from payments_api.auth.caller import ANONYMOUS, NOBODY, Caller
from payments_api.http.errors import Forbidden, RateLimited
from payments_api.http.json_body import discard_body
from payments_api.openapi.route_specs import SCOPE_OF
from payments_api.services import EXTENSION, Services, services
from payments_core.http.problems import Problem
from payments_core.http.telemetry import KEY_ID

__all__ = ["Caller", "caller", "control_access"]

CALLER = "payments.caller"  # In the ASGI scope, once the key is checked.
STYLESHEET = "static"  # Of /docs: as public as that.


def caller() -> Caller:
    """Who sent the current request.

    Where PAYMENTS_API_AUTH is off: anonymous, who may do everything. Where it is on, and the
    route is public: nobody, who may do nothing.
    """
    found: Caller | None = cast(dict[str, Any], request.scope).get(CALLER)
    if found is None:
        return ANONYMOUS if services().keys is None else NOBODY
    return found


def control_access(app: Quart) -> None:
    """Refuse requests whose key does not allow their route.

    Raises KeyError, at the start, for a route that operations.py does not describe.
    """
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()} - {STYLESHEET}
    needed = {endpoint: SCOPE_OF[endpoint] for endpoint in endpoints}
    here = cast(Services, app.extensions[EXTENSION])
    keys = here.keys
    if keys is None:
        return

    async def check_key() -> None:
        # The request itself: each look through the proxy takes as long as the rest.
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # Its own.
        if CALLER in cast(dict[str, Any], asked.scope):
            return  # Checked by fast_path.py, and counted.
        rule = asked.url_rule
        # What has no route has no endpoint either: its answer is 404 or 405, for everybody.
        scope = None if rule is None else needed.get(rule.endpoint)
        if scope is None:
            return
        try:
            sent = asked.headers.get("Authorization")
            found = keys.known(sent) or await keys.caller_of(sent)
            if scope not in found.scopes:
                metrics.AUTH_REFUSALS.labels("scope").inc()
                raise Forbidden(scope)
            asgi = cast(dict[str, Any], asked.scope)
            standing = here.limits.take_key(asgi, found.key_id or "")
            if standing is not None:
                raise RateLimited.because(standing)
        except Problem:
            await discard_body(asked)
            raise
        asgi[CALLER], asgi[KEY_ID] = found, found.key_id

    app.before_request(check_key)
