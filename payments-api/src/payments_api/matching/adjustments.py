"""/sources/{source}/adjustments: propose, approve, reject, list."""

from typing import Any
from uuid import UUID

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api import metrics
from payments_api.auth.caller import RECON_APPROVE, RECON_READ, RECON_WRITE
from payments_api.auth.item_ids import ItemIds, item_ids
from payments_api.auth.middleware import requires
from payments_api.auth.operator import deciding_person
from payments_api.http.errors import AdjustmentNotFound, ApproverIsProposer
from payments_api.http.json_body import read_json_object
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query, checked_uuid
from payments_api.matching.acts import acting
from payments_api.matching.adjustment_schemas import (
    AdjustmentApproval,
    AdjustmentRejection,
    AdjustmentRequest,
)
from payments_api.matching.lookups import line_number, numbers_in
from payments_api.operations.requests import ActionRequest, parse_model
from payments_api.services import services
from payments_api.statements.lookups import source_named
from payments_core.audit_log import Operator
from payments_core.db.engine import AnyRow
from payments_core.domain.matching import ADJUSTMENT_ACCOUNT_PREFIX, ADJUSTMENT_STATUSES
from payments_core.domain.money import currency_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.matching import adjustments as stored
from payments_core.matching.matches import ItemNotFound

adjustments = Blueprint("adjustments", __name__)


@adjustments.get("/sources/<source>/adjustments")
@requires(RECON_READ)
async def get_adjustments(source: str) -> ResponseReturnValue:
    """List the adjustments of a source, newest first."""
    query = Query(request.args, "status", "line", "limit", "cursor")
    status, ids = query.choice("status", ADJUSTMENT_STATUSES), item_ids()
    line = query.text("line")
    line_id = None if line is None else line_number(ids, line)
    scope = {"source": source, "tenant": ids.tenant, "status": status, "line": line}
    page = Page(services().cursors, query, "adjustments", UUID, scope)
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        rows = await stored.list_adjustments(
            tx, row.id, page.fetch_limit, page.walk, status, line_id
        )
    return page.as_json("adjustments", rows, lambda each: adjustment_json(each, row, ids))


@adjustments.get("/sources/<source>/adjustments/<id:adjustment_id>")
@requires(RECON_READ)
async def get_adjustment(source: str, adjustment_id: str) -> ResponseReturnValue:
    """Retrieve an adjustment."""
    Query(request.args)
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        try:
            uuid = checked_uuid(adjustment_id, AdjustmentNotFound)
            found = await stored.find_adjustment(tx, row.id, uuid)
        except ItemNotFound:
            raise AdjustmentNotFound from None
    return adjustment_json(found, row, item_ids())


@adjustments.post("/sources/<source>/adjustments")
@requires(RECON_WRITE)
async def post_adjustment(source: str) -> ResponseReturnValue:
    """Propose an adjustment: nothing is posted until another person approves it."""
    body = parse_model(AdjustmentRequest, await read_json_object(request))
    operator, ids = _person(body), item_ids()
    (line,) = numbers_in(ids, "line", "line", [body.line])
    entries = numbers_in(ids, "entry", "entries", body.entries)
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        made = await stored.propose(tx, row.id, line, entries, body.kind, operator, body.reason)
        answer = adjustment_json(await stored.find_adjustment(tx, row.id, made), row, ids)
    return answer, 201, {"Location": f"/sources/{source}/adjustments/{made}"}


@adjustments.post("/sources/<source>/adjustments/<id:adjustment_id>/approve")
@requires(RECON_APPROVE)
async def post_approve(source: str, adjustment_id: str) -> ResponseReturnValue:
    """Approve an adjustment that another person proposed; the worker posts it within seconds."""
    approval = parse_model(AdjustmentApproval, await read_json_object(request))
    return await _decide(source, adjustment_id, "approve", approval)


@adjustments.post("/sources/<source>/adjustments/<id:adjustment_id>/reject")
@requires(RECON_APPROVE)
async def post_reject(source: str, adjustment_id: str) -> ResponseReturnValue:
    """Reject an adjustment; its line may be proposed again."""
    rejection = parse_model(AdjustmentRejection, await read_json_object(request))
    return await _decide(source, adjustment_id, "reject", rejection)


async def _decide(
    source: str, adjustment_id: str, decision: stored.Decision, body: ActionRequest
) -> dict[str, Any]:
    operator, ids = _person(body), item_ids()
    uuid = checked_uuid(adjustment_id, AdjustmentNotFound)
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        try:
            await stored.decide(tx, row.id, uuid, decision, operator, body.reason)
        except ItemNotFound:
            raise AdjustmentNotFound from None
        except stored.ApproverIsProposer:
            raise ApproverIsProposer from None
        decided = await stored.find_adjustment(tx, row.id, uuid)
    metrics.ADJUSTMENTS_DECIDED.labels(stored.STATUS_AFTER[decision]).inc()
    return adjustment_json(decided, row, ids)


def adjustment_json(row: AnyRow, source: AnyRow, ids: ItemIds) -> dict[str, Any]:
    """Return an adjustment of a source; the worker's failure names items, so a tenant sees none."""
    failure = "An item was taken meanwhile." if row.failure and ids.tenant else row.failure
    return {
        "id": str(row.id),
        "kind": row.kind,
        "amount": currency_text(row.amount, source.currency),
        "currency": source.currency,
        "accountId": ADJUSTMENT_ACCOUNT_PREFIX + row.kind,
        "lineId": ids.shown("line", row.line_id),
        "entryIds": [ids.shown("entry", entry) for entry in row.entry_ids],
        "reason": row.reason,
        "status": row.status,
        "proposedBy": row.proposed_by,
        "proposedAt": utc_text(row.proposed_at),
        "decidedBy": row.decided_by,
        "decidedAt": time_or_none(row.decided_at),
        "decisionReason": row.decision_reason,
        "settledAt": time_or_none(row.settled_at),
        "failure": failure,
    }


def _person(body: ActionRequest) -> Operator:
    return deciding_person(body.actor)
