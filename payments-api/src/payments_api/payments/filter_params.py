"""The query parameters that filter payments."""

import re
from decimal import Decimal

from payments_api.auth.caller import JOBS_ADMIN, Caller
from payments_api.auth.tenants import account_id_in, idempotency_key_in
from payments_api.http.errors import Forbidden, ValidationFailed
from payments_api.http.query_params import Query
from payments_api.payments.filters import PaymentFilter
from payments_core.domain.ids import uuid_or_none
from payments_core.domain.money import MoneyError, parse_earlier_amount
from payments_core.domain.payments import DESCRIPTION_MAX_CHARS, is_reference
from payments_core.domain.statuses import PAYMENT_STATUSES

FILTERS = (
    *("accountId", "status", "currency", "discrepancy", "deadLetter", "createdFrom", "createdTo"),
    *("reference", "idempotencyKey", "idPrefix", "idSuffix", "description", "amount"),
)
ID_PREFIX_PATTERN = "^[0-9a-fA-F]{8}[0-9a-fA-F-]{0,28}$"
ID_SUFFIX_PATTERN = "^[0-9a-fA-F]{1,12}$"
_ANY_ID = "00000000-0000-7000-8000-000000000000"


def filter_in(query: Query, caller: Caller) -> PaymentFilter:
    """Return the filter that a query names. Raises ValidationFailed, Forbidden."""
    tenant = caller.tenant
    return PaymentFilter(
        tenant=tenant,
        account_id=account_id_in(query, tenant),
        status=query.choice("status", PAYMENT_STATUSES),
        currency=query.currency(),
        discrepancy=query.flag("discrepancy"),
        created_from=query.time("createdFrom"),
        created_to=query.time("createdTo"),
        reference=_reference_in(query),
        idempotency_key=idempotency_key_in(query, tenant),
        dead_letter=_dead_letter_in(query, caller),
        id_prefix=_id_prefix_in(query),
        id_suffix=_id_suffix_in(query),
        description=_description_in(query),
        amount=_amount_in(query),
    )


def _reference_in(query: Query) -> str | None:
    value = query.text("reference")
    if value is not None and not is_reference(value):
        raise ValidationFailed.of("reference", "is not a reference")
    return value


def _dead_letter_in(query: Query, caller: Caller) -> bool:
    wanted = query.flag("deadLetter")
    # Jobs are shown to operators alone, and to no tenant.
    if wanted and (JOBS_ADMIN not in caller.scopes or caller.tenant is not None):
        raise Forbidden(JOBS_ADMIN)
    return wanted


def _id_prefix_in(query: Query) -> str | None:
    value = query.text("idPrefix")
    if value is None:
        return None
    may_be = re.fullmatch(ID_PREFIX_PATTERN, value) is not None
    if not may_be or uuid_or_none(value + _ANY_ID[len(value) :]) is None:
        raise ValidationFailed.of("idPrefix", "must be the first 8 or more characters of an id")
    return value.lower()


def _id_suffix_in(query: Query) -> str | None:
    value = query.text("idSuffix")
    if value is None:
        return None
    if not re.fullmatch(ID_SUFFIX_PATTERN, value):
        raise ValidationFailed.of("idSuffix", "must be the last 1 to 12 characters of an id")
    return value.lower()


def _description_in(query: Query) -> str | None:
    value = query.text("description")
    if value is not None and not 1 <= len(value) <= DESCRIPTION_MAX_CHARS:
        detail = f"must have 1 to {DESCRIPTION_MAX_CHARS} characters"
        raise ValidationFailed.of("description", detail)
    return value


def _amount_in(query: Query) -> Decimal | None:
    value = query.text("amount")
    try:
        return None if value is None else parse_earlier_amount(value)
    except MoneyError as error:
        raise ValidationFailed.of("amount", str(error)) from None
