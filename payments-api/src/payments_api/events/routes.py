"""GET /events: the event log. GET /payments/events: server-sent events of payments."""

from collections.abc import AsyncIterator

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_api.auth.caller import EVENTS_READ, PAYMENTS_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import account_id_in
from payments_api.events.reader import Reader
from payments_api.events.stream import event_stream
from payments_api.http.errors import EventsNotFinal, ValidationFailed
from payments_api.http.query_params import Query
from payments_api.services import services
from payments_core.db.event_log import event_json, read_events
from payments_core.domain.events import EVENT_TYPES

BEFORE_ALL = -1  # No position: an empty log ends at 0.
HEARTBEAT_SECONDS = 15.0
LAST_EVENT_ID_MAX_CHARS = 100

events = Blueprint("events", __name__)


LATEST = "latest"


@events.get("/events")
@requires(EVENTS_READ)
async def get_event_log() -> ResponseReturnValue:
    """List events in their order, from behind a position."""
    query = Query(request.args, "after", "types", "limit")
    types, limit, after = _types_in(query), query.limit(), query.text("after")
    tenant, cursors = caller().tenant, services().cursors
    scope = {"list": "events", "tenant": tenant}
    position = 0
    if after not in (None, LATEST):
        position = cursors.read_unlinkable(scope, after)
    last = await services().last_final_event.result()
    if after == LATEST:
        if last == BEFORE_ALL:
            raise EventsNotFinal
        position = last
    last = max(last, position)
    async with services().load_read() as connection:
        page = await read_events(connection, position, last, limit, types, tenant)
    return {
        "events": [event_json(row, tenant) for row in page.rows],
        "nextAfter": cursors.sign_unlinkable(scope, page.position),
        "hasMore": page.has_more,
    }


def _types_in(query: Query) -> tuple[str, ...]:
    value = query.text("types")
    if value is None:
        return tuple(EVENT_TYPES)
    types = tuple(value.split(","))
    for name in types:
        if name not in EVENT_TYPES:
            known = ", ".join(EVENT_TYPES)
            raise ValidationFailed.of("types", f"{name[:50]!r} is none of {known}")
    return types


@events.get("/payments/events")
@requires(PAYMENTS_READ)
async def get_events() -> Response:
    """Stream changes of payments, optionally of one account, as server-sent events."""
    client = caller()
    address = services().limits.address_of(request.scope)
    account_id = account_id_in(Query(request.args, "accountId"), client.tenant)
    last_event_id = request.headers.get("Last-Event-ID") or None
    keys, stopping = services().keys, services().lifecycle.stopping

    async def over() -> None:
        if keys is None:
            await stopping.wait()
        else:
            await keys.until_ended(client, stopping)

    stream = event_stream(
        services().events,
        Reader(account_id, address, client.tenant, client.key_id),
        last_event_id and last_event_id[:LAST_EVENT_ID_MAX_CHARS],
        over,
        HEARTBEAT_SECONDS,
    )
    # Fetched before the answer starts, so that "too many streams" is a status, not a cut.
    first = await anext(stream)

    async def body() -> AsyncIterator[str]:
        try:
            yield first
            async for text in stream:
                yield text
        finally:
            await stream.aclose()

    response = Response(
        body(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.timeout = None  # It stays open.
    return response
