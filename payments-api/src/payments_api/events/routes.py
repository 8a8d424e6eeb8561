"""GET /payments/events: server-sent events, one for each change of a payment."""

from collections.abc import AsyncIterator

from quart import Blueprint, Response, request

from payments_api.auth.middleware import caller
from payments_api.events.feed import event_stream
from payments_api.http.query_params import Query
from payments_api.services import services

HEARTBEAT_SECONDS = 15.0
LAST_EVENT_ID_MAX_CHARS = 100

events = Blueprint("events", __name__)


@events.get("/payments/events")
async def get_events() -> Response:
    """A stream that follows the payments, of one account if asked for."""
    here, who = services(), caller()
    account_id = Query(request.args, "accountId").account_id(who.tenant)
    last_event_id = request.headers.get("Last-Event-ID") or None
    stopping = here.lifecycle.stopping

    async def over() -> None:
        if here.keys is None:
            await stopping.wait()
        else:
            await here.keys.until_ended(who, stopping)

    stream = event_stream(
        here.events,
        last_event_id and last_event_id[:LAST_EVENT_ID_MAX_CHARS],
        account_id,
        who.tenant,
        here.limits.address_of(request.scope),
        over,
        HEARTBEAT_SECONDS,
    )
    # The first words are fetched here, so that "too many readers" is an answer, not a cut.
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
    response.timeout = None  # It is meant to stay open.
    return response
