"""The parameters of routes, for the OpenAPI document."""

from typing import Any

from payments_api.http.query_params import LIMIT_DEFAULT, LIMIT_MAX
from payments_core.domain.money import CURRENCY_PATTERN
from payments_core.domain.payments import (
    IDEMPOTENCY_KEY_MAX_CHARS,
    REFERENCE_PATTERN,
    STORED_ACCOUNT_ID_PATTERN,
    TENANT_PATTERN,
)
from payments_core.domain.statuses import FAILED, JOB_STATUSES, OPERATOR_ACTIONS, PAYMENT_STATUSES

Parameter = dict[str, Any]


def _query(name: str, description: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


LIMIT = _query(
    "limit",
    "The maximum number of items to return.",
    type="integer",
    minimum=1,
    maximum=LIMIT_MAX,
    default=LIMIT_DEFAULT,
)
CURSOR = _query("cursor", "The nextCursor of the previous page.", type="string")
PAGING = (LIMIT, CURSOR)
CURRENCY = _query(
    "currency",
    "An ISO 4217 code, in use today or earlier.",
    type="string",
    pattern=CURRENCY_PATTERN,
)
FROM = _query(
    "createdFrom", "Only items created at this time or later.", type="string", format="date-time"
)
TO = _query(
    "createdTo",
    "Only items created before this time. Items created within the last minute may still be added:"
    " a list that ends earlier no longer grows.",
    type="string",
    format="date-time",
)
AT = _query(
    "at",
    "The point in time; the present by default and for a later one. The answer's `at` says which"
    " it is; the balance at that time never changes.",
    type="string",
    format="date-time",
)
STATUS = _query(
    "status", "Only payments with this status.", type="string", enum=list(PAYMENT_STATUSES)
)
ACCOUNT = _query(
    "accountId",
    "Only payments of this account. A key without a tenant names a tenant's account as"
    " tenant~account.",
    type="string",
    pattern=STORED_ACCOUNT_ID_PATTERN,
)
REFERENCE = _query(
    "reference", "Only payments with this reference.", type="string", pattern=REFERENCE_PATTERN
)
IDEMPOTENCY_KEY = _query(
    "idempotencyKey",
    "Only the payment of this idempotency key. A key without a tenant writes a tenant's"
    " idempotency key as tenant, space, key.",
    type="string",
    minLength=1,
    maxLength=IDEMPOTENCY_KEY_MAX_CHARS,
)
PREFIX = _query(
    "prefix",
    "Only accounts whose ids start with this text.",
    type="string",
    pattern=rf"^({TENANT_PATTERN}~)?([A-Za-z0-9_][A-Za-z0-9_.:@+-]{{0,127}})?$",
)
DISCREPANCY = _query(
    "discrepancy", "true: only payments completed with a discrepancy.", type="boolean"
)
JOB_STATUS = _query(
    "status",
    "Only jobs with this status; dead letters are failed.",
    type="string",
    enum=list(JOB_STATUSES),
    default=FAILED,
)
ACTION = _query("action", "Only this action.", type="string", enum=list(OPERATOR_ACTIONS))
ACTOR = _query("actor", "Only actions of this operator.", type="string")
OPERATOR = {
    "name": "Payments-Operator",
    "in": "header",
    "description": "The operator to record for this request, in percent-encoded UTF-8. Requires an"
    " API key with the scope jobs:admin.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1800},
    "example": "ada%40example.com",
}
MINUTES = _query(
    "minutes",
    "The number of minutes to look back.",
    type="integer",
    minimum=1,
    maximum=1440,
    default=15,
)
ACCOUNT_IN_PATH = _path("accountId", pattern=STORED_ACCOUNT_ID_PATTERN)
PAYMENT_IN_PATH = _path("paymentId", format="uuid")
JOB_IN_PATH = _path("jobId", pattern="^[0-9]+$")
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Identifies the payment permanently: a repeated request with the same body"
    " returns the first answer. Bare, or quoted as in RFC 8941.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_MAX_CHARS,
        "pattern": "^[!#-~][!-~]*$",
    },
    "example": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
}
LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event received: later events are sent first, or a resync.",
    "schema": {"type": "string"},
}
