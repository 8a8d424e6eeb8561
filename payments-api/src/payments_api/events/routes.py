"""GET /payments/events: server-sent events, one for each change of a payment."""

from collections.abc import AsyncIterator

from quart import Blueprint, Response, request

from payments_api.auth.caller import PAYMENTS_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import account_id_in
from payments_api.events.reader import Reader
from payments_api.events.stream import event_stream
from payments_api.http.query_params import Query
from payments_api.services import services

HEARTBEAT_SECONDS = 15.0
LAST_EVENT_ID_MAX_CHARS = 100

events = Blueprint("events", __name__)


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
