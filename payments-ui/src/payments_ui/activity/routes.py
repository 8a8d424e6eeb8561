"""What operators did: who, what, when and why."""

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_ui.api.client import api_client
from payments_ui.web.responses import render

ROWS = 50
ACTIONS = ("create", "replay", "discard", "create_key", "rotate_key", "revoke_key")

blueprint = Blueprint("activity", __name__)


@blueprint.get("/activity")
async def index() -> ResponseReturnValue:
    """The record, newest first; of one kind of action, or of one operator."""
    chosen = request.args.get("action", "")
    action = chosen if chosen in ACTIONS else ""
    actor = request.args.get("actor", "").strip()[:200]
    cursor = request.args.get("cursor", "")
    page = await api_client().actions(
        {"action": action, "actor": actor, "cursor": cursor, "limit": ROWS}
    )
    return await render(
        "activity.html", page=page, action=action, actor=actor, cursor=cursor, actions=ACTIONS
    )
