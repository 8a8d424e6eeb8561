"""/operator-actions: who did what, when and why."""

from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.http.query_params import Query
from payments_api.services import services
from payments_core.audit_log import list_actions
from payments_core.db.engine import AnyRow
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import OPERATOR_ACTIONS

operator_actions = Blueprint("operator_actions", __name__)


@operator_actions.get("/operator-actions")
async def get_operator_actions() -> ResponseReturnValue:
    """A page of what operators did, newest first: payments made, dead letters decided."""
    query = Query(request.args, "action", "actor", "limit", "cursor")
    action, actor = query.choice("action", OPERATOR_ACTIONS), query.text("actor")
    scope = ["operator-actions", action, actor]
    limit = query.limit()
    position = services().cursors.read(scope, query.text("cursor"))
    before = None if position is None else int(position)
    async with services().read() as tx:
        rows = await list_actions(
            tx, limit + 1, before, (action,) if action else OPERATOR_ACTIONS, actor
        )
    page = rows[:limit]
    cursor = services().cursors.sign(scope, str(page[-1].id)) if len(rows) > limit else None
    return {"actions": [_action_json(row) for row in page], "nextCursor": cursor}


def _action_json(action: AnyRow) -> dict[str, Any]:
    return {
        "id": action.id,
        "action": action.action,
        "actor": action.actor,
        "keyName": action.key_name,
        "reason": action.reason,
        "jobIds": action.job_ids,
        "paymentId": None if action.payment_id is None else str(action.payment_id),
        "traceId": action.trace_id,
        "createdAt": utc_text(action.created_at),
    }
