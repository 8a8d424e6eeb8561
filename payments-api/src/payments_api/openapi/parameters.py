"""The parameters of routes, for the OpenAPI document."""

from typing import Any

from payments_api.accounts.history import POINTS_MAX
from payments_api.http.pagination import DESCENDING, ORDERS
from payments_api.http.query_params import LIMIT_DEFAULT, LIMIT_MAX
from payments_api.operations.queries import THROUGHPUT_BUCKETS_SECONDS
from payments_api.payments.filter_params import ID_PREFIX_PATTERN, ID_SUFFIX_PATTERN
from payments_core.domain.events import EVENT_TYPES
from payments_core.domain.money import AMOUNT_TEXT_PATTERN, CURRENCY_PATTERN
from payments_core.domain.payments import (
    DESCRIPTION_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    REFERENCE_PATTERN,
    STORED_ACCOUNT_ID_PATTERN,
    TENANT_PATTERN,
)
from payments_core.domain.statuses import FAILED, JOB_STATUSES, OPERATOR_ACTIONS, PAYMENT_STATUSES

Parameter = dict[str, Any]


def query(name: str, description: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def path(name: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


LIMIT = query(
    "limit",
    "The maximum number of items to return.",
    type="integer",
    minimum=1,
    maximum=LIMIT_MAX,
    default=LIMIT_DEFAULT,
)
CURSOR = query("cursor", "The nextCursor or previousCursor of another page.", type="string")
PAGING = (LIMIT, CURSOR)
CURRENCY = query(
    "currency",
    "An ISO 4217 code, in use today or earlier.",
    type="string",
    pattern=CURRENCY_PATTERN,
)
FROM = query(
    "createdFrom", "Only items created at this time or later.", type="string", format="date-time"
)
TO = query(
    "createdTo",
    "Only items created before this time. Items created within the last minute may still be added:"
    " a list that ends earlier no longer grows.",
    type="string",
    format="date-time",
)
ORDER = query(
    "order",
    "asc: oldest first.",
    type="string",
    enum=list(ORDERS),
    default=DESCENDING,
)
NAME_ORDER = query(
    "order",
    "desc: from the last name to the first.",
    type="string",
    enum=list(ORDERS),
    default="asc",
)
DEAD_LETTER = query(
    "deadLetter",
    "true: only payments whose job is a dead letter. Requires the scope jobs:admin of a key without"
    " a tenant.",
    type="boolean",
)
ID_PREFIX = query(
    "idPrefix",
    "Only payments whose ids begin so.",
    type="string",
    pattern=ID_PREFIX_PATTERN,
    example="01936f5e-3c7a",
)
ID_SUFFIX = query(
    "idSuffix",
    "Only payments whose ids end so. Examines payments: combine it with `idPrefix`.",
    type="string",
    pattern=ID_SUFFIX_PATTERN,
)
DESCRIPTION = query(
    "description",
    "Only payments whose descriptions contain this text, in either case. Examines payments.",
    type="string",
    minLength=1,
    maxLength=DESCRIPTION_MAX_CHARS,
)
AMOUNT = query(
    "amount",
    "Only payments of this amount, in any currency. Examines payments.",
    type="string",
    pattern=AMOUNT_TEXT_PATTERN,
)
HISTORY_FROM = query(
    "from",
    "The beginning of the range; by default the account's first entry.",
    type="string",
    format="date-time",
)
POINTS = query(
    "limit",
    "The maximum number of points to return.",
    type="integer",
    minimum=2,
    maximum=POINTS_MAX,
    default=POINTS_MAX,
)
AT = query(
    "at",
    "The point in time; the present by default and for a later one. The answer's `at` says which"
    " it is; the balance at that time never changes.",
    type="string",
    format="date-time",
)
STATUS = query(
    "status", "Only payments with this status.", type="string", enum=list(PAYMENT_STATUSES)
)
ACCOUNT = query(
    "accountId",
    "Only payments of this account. A key without a tenant names a tenant's account as"
    " tenant~account.",
    type="string",
    pattern=STORED_ACCOUNT_ID_PATTERN,
)
REFERENCE = query(
    "reference", "Only payments with this reference.", type="string", pattern=REFERENCE_PATTERN
)
IDEMPOTENCY_KEY = query(
    "idempotencyKey",
    "Only the payment of this idempotency key. A key without a tenant writes a tenant's"
    " idempotency key as tenant, space, key.",
    type="string",
    minLength=1,
    maxLength=IDEMPOTENCY_KEY_MAX_CHARS,
)
PREFIX = query(
    "prefix",
    "Only accounts whose ids start with this text.",
    type="string",
    pattern=rf"^({TENANT_PATTERN}~)?([A-Za-z0-9_][A-Za-z0-9_.:@+-]{{0,127}})?$",
)
DISCREPANCY = query(
    "discrepancy", "true: only payments completed with a discrepancy.", type="boolean"
)
JOB_STATUS = query(
    "status",
    "Only jobs with this status; dead letters are failed.",
    type="string",
    enum=list(JOB_STATUSES),
    default=FAILED,
)
ERROR_GROUP = query(
    "errorGroup",
    "Only jobs with an error of this group, as GET /jobs/groups names it.",
    type="string",
)
ACTION = query("action", "Only this action.", type="string", enum=list(OPERATOR_ACTIONS))
ACTOR = query("actor", "Only actions of this operator.", type="string")
OPERATOR = {
    "name": "Payments-Operator",
    "in": "header",
    "description": "The operator to record for this request, in percent-encoded UTF-8. Requires an"
    " API key with the scope jobs:admin.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1800},
    "example": "ada%40example.com",
}
AFTER = query(
    "after",
    "The nextAfter of an earlier answer, or `latest` for its value now. Without it, the list begins"
    " with the first event.",
    type="string",
)
EVENT_TYPES_LISTED = query(
    "types",
    f"Only events of these types, separated by commas: {', '.join(EVENT_TYPES)}.",
    type="string",
    example="payment.completed,payment.failed",
)
MINUTES = query(
    "minutes",
    "The number of minutes to look back.",
    type="integer",
    minimum=1,
    maximum=1440,
    default=15,
)
BUCKET_SECONDS = query(
    "bucketSeconds",
    "The length of each interval in seconds.",
    type="integer",
    enum=list(THROUGHPUT_BUCKETS_SECONDS),
    default=THROUGHPUT_BUCKETS_SECONDS[0],
)
ACCOUNT_IN_PATH = path("accountId", pattern=STORED_ACCOUNT_ID_PATTERN)
PAYMENT_IN_PATH = path("paymentId", format="uuid")
REVERSAL_IN_PATH = path("reversalId", format="uuid")
JOB_IN_PATH = path("jobId", pattern="^[0-9]+$")
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
