"""/payments: create one or many, read one, list."""

from functools import partial
from uuid import UUID

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api import metrics
from payments_api.auth.caller import PAYMENTS_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import account_id_in, idempotency_key_in
from payments_api.http.errors import PaymentNotFound, ValidationFailed
from payments_api.http.json_body import BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES, read_body
from payments_api.http.messages import header_fields
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query, uuid_or_none
from payments_api.payments.create import REQUIRED_SCOPE, create_batch, create_payment
from payments_api.payments.queries import PaymentFilter, get_payment, list_payments, payment_json
from payments_api.services import services
from payments_core.domain.payments import is_reference
from payments_core.domain.statuses import PAYMENT_STATUSES

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
    """List payments, newest first."""
    query = Query(
        request.args,
        *("accountId", "status", "currency", "discrepancy", "createdFrom", "createdTo"),
        *("reference", "idempotencyKey", "limit", "cursor"),
    )
    tenant = caller().tenant
    which = PaymentFilter(
        tenant=tenant,
        account_id=account_id_in(query, tenant),
        status=query.choice("status", PAYMENT_STATUSES),
        currency=query.currency(),
        discrepancy=query.flag("discrepancy"),
        created_from=query.time("createdFrom"),
        created_to=query.time("createdTo"),
        reference=_reference_in(query),
        idempotency_key=idempotency_key_in(query, tenant),
    )
    page = Page(services().cursors, query, "payments", UUID, which.named_values())
    async with services().load_read() as tx:
        rows = await list_payments(tx, which, page.fetch_limit, page.before)
    return page.as_json("payments", rows, lambda row: payment_json(row._asdict(), tenant))


def _reference_in(query: Query) -> str | None:
    value = query.text("reference")
    if value is not None and not is_reference(value):
        raise ValidationFailed.of("reference", "is not a reference")
    return value


@payments.get("/payments/<id:payment_id>")
@requires(PAYMENTS_READ)
async def get_one_payment(payment_id: str) -> ResponseReturnValue:
    """Retrieve a payment with its reconciliation and ledger entries."""
    Query(request.args)
    uuid = uuid_or_none(payment_id)
    if uuid is None:
        raise PaymentNotFound
    async with services().load_snapshot() as tx:
        payment = await get_payment(tx, uuid, caller())
    if payment is None:
        raise PaymentNotFound
    return payment
