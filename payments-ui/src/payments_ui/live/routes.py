"""The stream of changes that open pages listen to."""

from time import time

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_ui.live.feed import live_feed
from payments_ui.sign_in.guard import current_session, sign_in

# A stream that somebody's session is behind asks for it again this often: a session may have been
# ended by another process.
SESSION_STREAM_SECONDS_MAX = 300.0

blueprint = Blueprint("live", __name__)


@blueprint.get("/live")
async def live() -> ResponseReturnValue:
    """Server-sent events: payments (rows as HTML), resync, state (live or behind) and beat."""
    feed = live_feed()
    if feed.full:
        return Response("too many open pages", 503, {"Retry-After": "5"})
    since = request.headers.get("Last-Event-ID") or request.args.get("since")
    session = current_session()
    seconds = None
    if session is not None:
        left = sign_in().sessions.ends_at(session) - time()
        seconds = min(left, SESSION_STREAM_SECONDS_MAX)
    frames = feed.frames(since, session.id if session else None, seconds)
    response = Response(frames, content_type="text/event-stream; charset=utf-8")
    response.timeout = None  # Open as long as the page is.
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Cache-Control"] = "no-store"
    return response
