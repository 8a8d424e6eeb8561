"""Operator actions: operator, action, time and reason."""

from collections.abc import Awaitable

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_core.domain.statuses import OPERATOR_ACTIONS, OPERATOR_MAX_CHARS
from payments_ui.api.client import api_client
from payments_ui.api.types import OperatorRecordPage
from payments_ui.web.paging import page_at
from payments_ui.web.responses import render

ROWS = 50

blueprint = Blueprint("activity", __name__)


@blueprint.get("/activity")
async def index() -> ResponseReturnValue:
    """Show the actions, newest first, filtered by kind and operator."""
    action = request.args.get("action", "")
    if action not in OPERATOR_ACTIONS:
        action = ""
    actor = request.args.get("actor", "").strip()[:OPERATOR_MAX_CHARS]

    def read(cursor: str) -> Awaitable[OperatorRecordPage]:
        return api_client().actions(
            {"action": action, "actor": actor, "cursor": cursor, "limit": ROWS}
        )

    page, cursor = await page_at(request.args.get("cursor", ""), read)
    return await render(
        "activity.html",
        page=page,
        action=action,
        actor=actor,
        cursor=cursor,
        actions=OPERATOR_ACTIONS,
    )
