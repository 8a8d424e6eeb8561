"""Create payments: the use case behind the route, the fast path and the batch.

It takes the parts of a request, whichever layer received it, and returns the answer.
"""

import json
from collections.abc import Callable
from typing import Any

from payments_api import metrics
from payments_api.auth.caller import PAYMENTS_WRITE, Caller
from payments_api.auth.operator import OPERATOR_HEADER, named_operator
from payments_api.auth.tenants import stored_payment
from payments_api.http.errors import ValidationFailed
from payments_api.http.json_body import parse_json_body
from payments_api.http.messages import JSON_TYPE, HeaderFields, header_text
from payments_api.payments.parsing import (
    checked_key,
    parse_earlier_payment,
    parse_idempotency_key,
    parse_payment,
)
from payments_api.payments.store import Creation
from payments_api.payments.writer import PaymentWriter
from payments_core.domain.payments import NewPayment
from payments_core.domain.tenants import shown_account
from payments_core.http.answer import Answer
from payments_core.http.problems import Problem
from payments_core.observability.trace_context import valid_traceparent

REQUIRED_SCOPE = PAYMENTS_WRITE
BATCH_ITEMS_MAX = 1_000


async def create_payment(
    writer: PaymentWriter, fields: HeaderFields, body: bytes | bytearray, caller: Caller
) -> Answer:
    """Create a payment, or replay the answer of the request that used its key first.

    The payment has been committed when this returns. An operator whom the headers name is
    recorded with it. Raises a Problem if the request is rejected.
    """
    try:
        content = parse_json_body(fields, body)
        key = parse_idempotency_key(header_text(fields, b"idempotency-key"))
        operator = named_operator(fields, caller)
        try:
            payment = stored_payment(parse_payment(content, key), caller.tenant)
        except ValidationFailed:
            (earlier,) = await _replay_earlier(writer, [(content, key)], caller.tenant)
            if earlier is None:
                raise
            creation = earlier
        else:
            creation = await writer.create(payment, _traceparent(fields), operator)
    except Problem as problem:
        metrics.count_rejected(problem)
        raise
    metrics.count_created(1, replayed=creation.replayed)
    headers = {"Content-Type": JSON_TYPE, "Location": f"/payments/{creation.payment.id}"}
    if creation.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Answer(201, headers, _created_text(creation, caller.tenant).encode())


async def create_batch(
    writer: PaymentWriter,
    fields: HeaderFields,
    body: bytes,
    caller: Caller,
    charge: Callable[[int], None],
) -> Answer:
    """Create up to 1,000 payments; each succeeds or fails on its own, answered in order.

    `charge` adds requests to the client's count for rate limits: a batch costs as many as it has
    items. Raises a Problem if the batch as a whole is rejected.
    """
    items = _batch_items(parse_json_body(fields, body))
    if OPERATOR_HEADER in fields:
        raise ValidationFailed.of("Payments-Operator", "is accepted with a single payment only")
    writer.check_room(len(items))  # Before the items are parsed, which costs the most.
    charge(len(items) - 1)
    parsed = [_parse_item(item, caller.tenant) for item in items]
    payments = [payment for payment in parsed if isinstance(payment, NewPayment)]
    outcomes = iter(await writer.create_each(payments, _traceparent(fields)))
    answers = [item if isinstance(item, Problem) else next(outcomes) for item in parsed]
    await _replay_rejected(writer, items, answers, caller.tenant)
    replays = [answer.replayed for answer in answers if isinstance(answer, Creation)]
    metrics.count_created(len(replays), replayed=sum(replays))
    text = ", ".join([_item_text(answer, caller.tenant) for answer in answers])
    return Answer(200, {"Content-Type": JSON_TYPE}, f'{{"payments": [{text}]}}'.encode())


async def _replay_rejected(
    writer: PaymentWriter,
    items: list[Any],
    answers: list[Creation | BaseException],
    tenant: str | None,
) -> None:
    """Answer each rejected item by the payment that it made when its currency allowed it."""
    rejected = [n for n, answer in enumerate(answers) if isinstance(answer, ValidationFailed)]
    contents = [dict(items[n]) if isinstance(items[n], dict) else {} for n in rejected]
    asked = [(content, content.pop("idempotencyKey", None)) for content in contents]
    for n, earlier in zip(rejected, await _replay_earlier(writer, asked, tenant), strict=True):
        answers[n] = earlier or answers[n]


async def _replay_earlier(
    writer: PaymentWriter, asked: list[tuple[dict[str, Any], object]], tenant: str | None
) -> list[Creation | None]:
    payments = [_earlier_payment(content, key, tenant) for content, key in asked]
    stored = await writer.replay([payment for payment in payments if payment is not None])
    return [None if p is None else stored.get(p.idempotency_key) for p in payments]


def _earlier_payment(content: dict[str, Any], key: object, tenant: str | None) -> NewPayment | None:
    try:
        payment = parse_earlier_payment(content, checked_key(key))
        return payment and stored_payment(payment, tenant)
    except Problem:
        return None


def _traceparent(fields: HeaderFields) -> str | None:
    return valid_traceparent(header_text(fields, b"traceparent"))


def _batch_items(content: dict[str, Any]) -> list[Any]:
    items = content.get("payments")
    if set(content) != {"payments"} or not isinstance(items, list):
        raise ValidationFailed('Send {"payments": [...]} and nothing else.')
    if not 1 <= len(items) <= BATCH_ITEMS_MAX:
        raise ValidationFailed.of("payments", f"must have 1 to {BATCH_ITEMS_MAX} items")
    return items


def _parse_item(item: Any, tenant: str | None) -> NewPayment | Problem:
    try:
        if not isinstance(item, dict):
            raise ValidationFailed("Each item must be an object.")
        content = dict(item)
        key = checked_key(content.pop("idempotencyKey", None))
        return stored_payment(parse_payment(content, key), tenant)
    except Problem as problem:
        return problem


def _item_text(answer: Creation | BaseException, tenant: str | None) -> str:
    if isinstance(answer, Creation):
        replayed = "true" if answer.replayed else "false"
        shown = _created_text(answer, tenant)
        return f'{{"status": 201, "replayed": {replayed}, "payment": {shown}}}'
    if isinstance(answer, Problem):
        metrics.count_rejected(answer)
        return json.dumps({"status": answer.status, "error": answer.as_json()})
    raise answer


def _created_text(creation: Creation, tenant: str | None) -> str:
    """Return the payment as its tenant sees it; a replay gives the same bytes."""
    payment = creation.payment
    return payment.json_text(shown_account(payment.account_id, tenant))
