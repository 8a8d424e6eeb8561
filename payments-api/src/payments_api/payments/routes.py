"""/payments: create one or many, read one, list."""

from functools import partial
from typing import Any
from uuid import UUID

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api import metrics
from payments_api.auth.caller import PAYMENTS_READ
from payments_api.auth.item_ids import item_ids
from payments_api.auth.middleware import caller, requires
from payments_api.http.errors import PaymentNotFound
from payments_api.http.json_body import BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES, read_body
from payments_api.http.messages import header_fields
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query, checked_uuid
from payments_api.payments.create import REQUIRED_SCOPE, create_batch, create_payment
from payments_api.payments.filter_params import FILTERS, filter_in
from payments_api.payments.queries import get_payment, list_payments, payment_json, totals_of
from payments_api.services import services
from payments_core.db.engine import AnyRow
from payments_core.domain.ids import moment_of_id
from payments_core.domain.payments import utc_text

payments = Blueprint("payments", __name__)


@payments.post("/payments")
@requires(REQUIRED_SCOPE)
async def post_payment() -> ResponseReturnValue:
    """Create a payment. Repeating the request with the same key and body returns the same answer.

    The fast path answers the usual request; this route takes the rest.
    """
    with metrics.rejections_counted():
        body = await read_body(request, BODY_MAX_BYTES)
    fields = header_fields(request.scope["headers"])
    answer = await create_payment(services().writer, fields, body, caller())
    return answer.as_response()


@payments.post("/payments/batch")
@requires(REQUIRED_SCOPE)
async def post_batch() -> ResponseReturnValue:
    """Create up to 1,000 payments in one request; each succeeds or fails on its own.

    The answers are in the order of the items. Of items with one key the first counts: an equal
    item is its replay, a different one is rejected.
    """
    body = await read_body(request, BATCH_BODY_MAX_BYTES)
    fields = header_fields(request.scope["headers"])
    charge = partial(services().limits.charge, request.scope)
    answer = await create_batch(services().writer, fields, body, caller(), charge)
    return answer.as_response()


@payments.get("/payments")
@requires(PAYMENTS_READ)
async def get_payments() -> ResponseReturnValue:
    """List payments, newest first or, with `order=asc`, oldest first."""
    query = Query(request.args, *FILTERS, "order", "limit", "cursor")
    which = filter_in(query, caller())
    page = Page(services().cursors, query, "payments", UUID, which.named_values())
    read = services().load_snapshot if which.examines else services().load_read
    async with read() as tx:
        found = await list_payments(tx, which, page.fetch_limit, page.walk)
    stop = found.stopped_at

    def shown(row: AnyRow) -> dict[str, Any]:
        return payment_json(row._asdict(), which.tenant)

    return {
        **page.as_json("payments", found.rows, shown, None if stop is None else str(stop)),
        "searchedUntil": None if stop is None else utc_text(moment_of_id(stop)),
    }


@payments.get("/payments/totals")
@requires(PAYMENTS_READ)
async def get_totals() -> ResponseReturnValue:
    """Count and sum the payments of a list, by currency, if they are not too many."""
    which = filter_in(Query(request.args, *FILTERS), caller())
    async with services().load_read() as tx:
        return await totals_of(tx, which)


@payments.get("/payments/<id:payment_id>")
@requires(PAYMENTS_READ)
async def get_one_payment(payment_id: str) -> ResponseReturnValue:
    """Retrieve a payment with its reconciliation and ledger entries."""
    Query(request.args)
    uuid = checked_uuid(payment_id, PaymentNotFound)
    async with services().load_snapshot() as tx:
        payment = await get_payment(tx, uuid, caller(), item_ids())
    if payment is None:
        raise PaymentNotFound
    return payment
