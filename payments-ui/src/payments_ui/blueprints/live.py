"""The stream of changes that open pages listen to."""

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_ui.services import services

blueprint = Blueprint("live", __name__)


@blueprint.get("/live")
async def live() -> ResponseReturnValue:
    """Server-sent events: payments (rows as HTML), resync, state (live or behind) and beat."""
    feed = services().feed
    if feed.closing or len(feed.pages) >= services().settings.live_pages_max:
        return Response("too many open pages", 503, {"Retry-After": "5"})
    since = request.headers.get("Last-Event-ID") or request.args.get("since")
    response = Response(feed.frames(since), content_type="text/event-stream; charset=utf-8")
    response.timeout = None  # Open as long as the page is.
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Cache-Control"] = "no-store"
    return response
