"""/payments/{paymentId}/reversals and /reversals: reverse a payment, read reversals."""

from uuid import UUID

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api import metrics
from payments_api.auth.caller import PAYMENTS_READ, PAYMENTS_REVERSE
from payments_api.auth.middleware import caller, requires
from payments_api.http.errors import PaymentNotFound, ReversalNotFound
from payments_api.http.json_body import BODY_MAX_BYTES, read_body
from payments_api.http.messages import header_fields
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query, checked_uuid
from payments_api.reversals.create import create_reversal
from payments_api.reversals.queries import (
    entries_of_reversals,
    get_reversal,
    is_payment_of,
    list_reversals,
    reversal_json,
)
from payments_api.services import services

reversals = Blueprint("reversals", __name__)


@reversals.post("/payments/<id:payment_id>/reversals")
@requires(PAYMENTS_REVERSE)
async def post_reversal(payment_id: str) -> ResponseReturnValue:
    """Reverse a completed payment, whole or in part; without an amount, its remainder."""
    with metrics.rejections_counted(metrics.REVERSALS_REJECTED):
        body = await read_body(request, BODY_MAX_BYTES)
        uuid = checked_uuid(payment_id, PaymentNotFound)
        fields = header_fields(request.scope["headers"])
        answer = await create_reversal(services(), uuid, fields, body, caller())
    return answer.as_response()


@reversals.get("/payments/<id:payment_id>/reversals")
@requires(PAYMENTS_READ)
async def get_reversals(payment_id: str) -> ResponseReturnValue:
    """List a payment's reversals, newest first."""
    query = Query(request.args, "limit", "cursor")
    uuid = checked_uuid(payment_id, PaymentNotFound)
    page = Page(services().cursors, query, "reversals", UUID, {"paymentId": str(uuid)})
    async with services().load_snapshot() as tx:
        if not await is_payment_of(tx, uuid, caller()):
            raise PaymentNotFound
        rows = await list_reversals(tx, uuid, page.fetch_limit, page.walk)
        entries = await entries_of_reversals(tx, rows, caller())
    tenant = caller().tenant
    return page.as_json("reversals", rows, lambda row: reversal_json(row, entries, tenant))


@reversals.get("/reversals/<id:reversal_id>")
@requires(PAYMENTS_READ)
async def get_one_reversal(reversal_id: str) -> ResponseReturnValue:
    """Retrieve a reversal with its ledger entries."""
    Query(request.args)
    uuid = checked_uuid(reversal_id, ReversalNotFound)
    async with services().load_snapshot() as tx:
        row = await get_reversal(tx, uuid, caller())
        if row is None:
            raise ReversalNotFound
        entries = await entries_of_reversals(tx, [row], caller())
    return reversal_json(row, entries, caller().tenant)
