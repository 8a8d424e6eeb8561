"""/operator-actions: the record of operators' actions, with time and reason."""

from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.auth.caller import JOBS_ADMIN
from payments_api.auth.middleware import requires
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query
from payments_api.services import services
from payments_core.audit_log import list_actions
from payments_core.db.engine import AnyRow
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import OPERATOR_ACTIONS

operator_actions = Blueprint("operator_actions", __name__)


@operator_actions.get("/operator-actions")
@requires(JOBS_ADMIN)
async def get_operator_actions() -> ResponseReturnValue:
    """List what operators did to payments, dead letters, API keys and webhooks, newest first."""
    query = Query(request.args, "action", "actor", "limit", "cursor")
    action, actor = query.choice("action", OPERATOR_ACTIONS), query.text("actor")
    actions = (action,) if action else OPERATOR_ACTIONS
    page = Page(
        services().cursors, query, "operator-actions", int, {"action": action, "actor": actor}
    )
    async with services().read() as tx:
        rows = await list_actions(tx, page.fetch_limit, page.walk, actions, actor)
    return page.as_json("actions", rows, _action_json)


def _action_json(action: AnyRow) -> dict[str, Any]:
    return {
        "id": action.id,
        "action": action.action,
        "actor": action.actor,
        "keyName": action.key_name,
        "reason": action.reason,
        "jobIds": action.job_ids,
        "paymentId": None if action.payment_id is None else str(action.payment_id),
        "subject": action.subject,
        "traceId": action.trace_id,
        "createdAt": utc_text(action.created_at),
    }
