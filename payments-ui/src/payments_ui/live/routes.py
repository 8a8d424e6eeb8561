"""The event stream of open pages."""

from time import time

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_ui.live.feed import live_feed
from payments_ui.sign_in.guard import current_session, sign_in

# A session's stream ends after this time, and the page reconnects with its cookie: another process
# may have ended the session.
SESSION_STREAM_SECONDS_MAX = 300.0

PAGES_PER_PERSON_MAX = 100  # One person's pages must not use up the streams of all users.

blueprint = Blueprint("live", __name__)


@blueprint.get("/live")
async def live() -> ResponseReturnValue:
    """Stream server-sent events: payments (rows as HTML), resync, state (live or behind), beat."""
    feed = live_feed()
    if feed.full:
        return Response("too many open pages", 503, {"Retry-After": "5"})
    since = request.headers.get("Last-Event-ID") or request.args.get("since")
    session = current_session()
    seconds = subject = None
    if session is not None:
        subject = session.person.subject
        if feed.pages_of(subject) >= PAGES_PER_PERSON_MAX:
            return Response("you have too many open pages", 429, {"Retry-After": "5"})
        left = sign_in().sessions.ends_at(session) - time()
        seconds = min(left, SESSION_STREAM_SECONDS_MAX)
    frames = feed.frames(since, session.id if session else None, seconds, subject)
    response = Response(frames, content_type="text/event-stream; charset=utf-8")
    response.timeout = None  # The stream stays open with the page.
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Cache-Control"] = "no-store"
    return response
