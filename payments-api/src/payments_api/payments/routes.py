"""/payments: create one or many, read one, list."""

import json
from typing import Any
from uuid import UUID

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_api import metrics
from payments_api.auth.middleware import caller
from payments_api.auth.operator import OPERATOR_HEADER, named_operator
from payments_api.auth.tenants import stored_payment
from payments_api.http.errors import PaymentNotFound, ValidationFailed
from payments_api.http.json_body import BATCH_BODY_MAX_BYTES, read_json_object
from payments_api.http.query_params import Query, uuid_or_none
from payments_api.payments.create_by_operator import create_by_operator
from payments_api.payments.parsing import checked_key, parse_idempotency_key, parse_payment
from payments_api.payments.queries import PaymentFilter, get_payment, list_payments, payment_json
from payments_api.payments.responses import JSON_TYPE, created_headers, created_text
from payments_api.payments.traceparent import traceparent_of
from payments_api.payments.writer import Creation
from payments_api.services import services
from payments_core.domain.statuses import PAYMENT_STATUSES
from payments_core.http.problems import Problem

BATCH_ITEMS_MAX = 1_000

payments = Blueprint("payments", __name__)


@payments.post("/payments")
async def post_payment() -> ResponseReturnValue:
    """Record a payment; the same key and body again give the same answer.

    The usual request never gets here: fast_path.py answers it.
    """
    with metrics.refusals_counted():
        body = await read_json_object(request)
        order = parse_payment(body, parse_idempotency_key(request.headers))
        order = stored_payment(order, caller().tenant)
        traceparent, operator = traceparent_of(request.headers), named_operator()
        if operator is None:
            creation = await services().writer.create(order, traceparent)
        else:
            here = services()
            creation = await create_by_operator(
                here.engine, here.notifier, order, traceparent, operator
            )
    metrics.answered(1, replayed=creation.replayed)
    return _created(creation)  # The commit has already succeeded.


def _created(creation: Creation) -> Response:
    body = created_text(creation, caller().tenant)
    headers = created_headers(creation)
    return Response(body, status=201, headers=headers, content_type=JSON_TYPE)


@payments.post("/payments/batch")
async def post_batch() -> ResponseReturnValue:
    """Record up to 1,000 payments; each stands or falls alone, answered in order.

    Of items with one key the first counts: an equal one is its replay, another one is refused.
    """
    body = await read_json_object(request, BATCH_BODY_MAX_BYTES)
    items = body.get("payments")
    if set(body) != {"payments"} or not isinstance(items, list):
        raise ValidationFailed('Send {"payments": [...]} and nothing else.')
    if not 1 <= len(items) <= BATCH_ITEMS_MAX:
        raise ValidationFailed.of("payments", f"must have 1 to {BATCH_ITEMS_MAX} items")
    if OPERATOR_HEADER in request.headers:
        raise ValidationFailed.of(OPERATOR_HEADER, "is taken with one payment, not with many")
    writer = services().writer
    writer.check_room(len(items))  # Checking the items costs more than anything else here.
    services().limits.owe(request.scope, len(items) - 1)
    tenant = caller().tenant
    parsed = [_parse_item(item, tenant) for item in items]
    orders = [order for order in parsed if not isinstance(order, Problem)]
    created = iter(await writer.create_each(orders, traceparent_of(request.headers)))
    answers = [order if isinstance(order, Problem) else next(created) for order in parsed]
    replays = [answer.replayed for answer in answers if isinstance(answer, Creation)]
    metrics.answered(len(replays), replayed=sum(replays))
    text = ", ".join([_item_text(answer, tenant) for answer in answers])
    return Response(f'{{"payments": [{text}]}}', content_type=JSON_TYPE)


def _parse_item(item: Any, tenant: str | None) -> Any:
    """A NewPayment, or the Problem with it."""
    try:
        if not isinstance(item, dict):
            raise ValidationFailed("Each item must be an object.")
        fields = dict(item)
        key = checked_key(fields.pop("idempotencyKey", None))
        return stored_payment(parse_payment(fields, key), tenant)
    except Problem as problem:
        return problem


def _item_text(answer: Any, tenant: str | None) -> str:
    if isinstance(answer, Creation):
        replayed = "true" if answer.replayed else "false"
        shown = created_text(answer, tenant)
        return f'{{"status": 201, "replayed": {replayed}, "payment": {shown}}}'
    if isinstance(answer, Problem):
        metrics.refused(answer)
        return json.dumps({"status": answer.status, "error": answer.as_json()})
    raise answer


@payments.get("/payments")
async def get_payments() -> ResponseReturnValue:
    """A page of payments, newest first."""
    query = Query(
        request.args,
        *("accountId", "status", "currency", "discrepancy", "createdFrom", "createdTo"),
        *("limit", "cursor"),
    )
    tenant = caller().tenant
    which = PaymentFilter(
        tenant=tenant,
        account_id=query.account_id(tenant),
        status=query.choice("status", PAYMENT_STATUSES),
        currency=query.currency(),
        discrepancy=query.flag("discrepancy"),
        created_from=query.time("createdFrom"),
        created_to=query.time("createdTo"),
    )
    scope = ["payments", repr(which)]
    position = services().cursors.read(scope, query.text("cursor"))
    limit = query.limit()
    before = None if position is None else UUID(position)
    async with services().load_read() as tx:
        # One more than asked for tells whether there is a next page.
        rows = await list_payments(tx, which, limit + 1, before)
    page = rows[:limit]
    cursor = services().cursors.sign(scope, str(page[-1].id)) if len(rows) > limit else None
    return {"payments": [payment_json(row._asdict(), tenant) for row in page], "nextCursor": cursor}


@payments.get("/payments/<id:payment_id>")
async def get_one_payment(payment_id: str) -> ResponseReturnValue:
    """A payment with its reconciliation and ledger entries."""
    Query(request.args)
    wanted = uuid_or_none(payment_id)
    if wanted is not None:
        async with services().load_snapshot() as tx:
            found = await get_payment(tx, wanted, caller())
        if found is not None:
            return found
    raise PaymentNotFound
