"""Who may do what: every request's API key is checked here, before its handler runs."""

from typing import Any, cast

from quart import Quart, g, request

from payments_api import metrics
from payments_api.callers import ANONYMOUS, NOBODY, Caller
from payments_api.errors import Forbidden, RateLimited
from payments_api.operations import SCOPE_OF
from payments_api.services import EXTENSION, Services, services

__all__ = ["Caller", "caller", "control_access"]

STYLESHEET = "static"  # Of /docs: as public as that.


def caller() -> Caller:
    """Who sent the current request.

    Where PAYMENTS_API_AUTH is off: anonymous, who may do everything. Where it is on, and the
    route is public: nobody, who may do nothing.
    """
    found: Caller | None = g.get("caller")
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
        # What has no route has no endpoint either: its answer is 404 or 405, for everybody.
        scope = needed.get(cast(Any, request).endpoint)
        if scope is None:
            return
        found = await keys.caller_of(request.headers.get("Authorization"))
        if scope not in found.scopes:
            metrics.AUTH_REFUSALS.labels("scope").inc()
            raise Forbidden(scope)
        standing = here.limits.take_key(cast(dict[str, Any], request.scope), found.key_id or "")
        if standing is not None:
            raise RateLimited.because(standing)
        g.caller = found

    app.before_request(check_key)
