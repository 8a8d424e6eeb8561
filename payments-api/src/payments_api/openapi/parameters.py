"""The parameters of routes, for the OpenAPI document."""

from typing import Any

from payments_api.accounts.history import POINTS_MAX
from payments_api.auth.item_ids import ITEM_ID_PATTERN
from payments_api.http.pagination import DESCENDING, ORDERS
from payments_api.http.query_params import DAY_PATTERN, LIMIT_DEFAULT, LIMIT_MAX
from payments_api.operations.queries import THROUGHPUT_BUCKETS_SECONDS
from payments_api.payments.filter_params import ID_PREFIX_PATTERN, ID_SUFFIX_PATTERN
from payments_core.domain.events import EVENT_TYPES
from payments_core.domain.matching import AGE_NAMES, BREAK_CLASSES, BREAK_ORDERS
from payments_core.domain.money import AMOUNT_TEXT_PATTERN, CURRENCY_PATTERN
from payments_core.domain.payments import (
    DESCRIPTION_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    REFERENCE_PATTERN,
    STORED_ACCOUNT_ID_PATTERN,
    TENANT_PATTERN,
)
from payments_core.domain.statements import (
    FILE_STATUSES,
    OPEN_LINE_STATUSES,
    SOURCE_NAME_PATTERN,
)
from payments_core.domain.statuses import FAILED, JOB_STATUSES, OPERATOR_ACTIONS, PAYMENT_STATUSES
from payments_core.domain.webhooks import DELIVERY_STATUSES

Parameter = dict[str, Any]

STORED_SOURCE_PATTERN = f"^({TENANT_PATTERN}~)?{SOURCE_NAME_PATTERN[1:]}"


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
CURSOR = _query("cursor", "The nextCursor or previousCursor of another page.", type="string")
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
ORDER = _query(
    "order",
    "asc: oldest first.",
    type="string",
    enum=list(ORDERS),
    default=DESCENDING,
)
NAME_ORDER = _query(
    "order",
    "desc: from the last name to the first.",
    type="string",
    enum=list(ORDERS),
    default="asc",
)
DEAD_LETTER = _query(
    "deadLetter",
    "true: only payments whose job is a dead letter. Requires the scope jobs:admin of a key without"
    " a tenant.",
    type="boolean",
)
ID_PREFIX = _query(
    "idPrefix",
    "Only payments whose ids begin so.",
    type="string",
    pattern=ID_PREFIX_PATTERN,
    example="01936f5e-3c7a",
)
ID_SUFFIX = _query(
    "idSuffix",
    "Only payments whose ids end so. Examines payments: combine it with `idPrefix`.",
    type="string",
    pattern=ID_SUFFIX_PATTERN,
)
DESCRIPTION = _query(
    "description",
    "Only payments whose descriptions contain this text, in either case. Examines payments.",
    type="string",
    minLength=1,
    maxLength=DESCRIPTION_MAX_CHARS,
)
AMOUNT = _query(
    "amount",
    "Only payments of this amount, in any currency. Examines payments.",
    type="string",
    pattern=AMOUNT_TEXT_PATTERN,
)
HISTORY_FROM = _query(
    "from",
    "The beginning of the range; by default the account's first entry.",
    type="string",
    format="date-time",
)
POINTS = _query(
    "limit",
    "The maximum number of points to return.",
    type="integer",
    minimum=2,
    maximum=POINTS_MAX,
    default=POINTS_MAX,
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
ERROR_GROUP = _query(
    "errorGroup",
    "Only jobs with an error of this group, as GET /jobs/groups names it.",
    type="string",
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
AFTER = _query(
    "after",
    "The nextAfter of an earlier answer, or `latest` for its value now. Without it, the list begins"
    " with the first event.",
    type="string",
)
EVENT_TYPES_LISTED = _query(
    "types",
    f"Only events of these types, separated by commas: {', '.join(EVENT_TYPES)}.",
    type="string",
    example="payment.completed,payment.failed",
)
MINUTES = _query(
    "minutes",
    "The number of minutes to look back.",
    type="integer",
    minimum=1,
    maximum=1440,
    default=15,
)
SOURCE = _query(
    "source",
    "The source of the file. A key without a tenant names a tenant's source as tenant~name.",
    type="string",
    pattern=STORED_SOURCE_PATTERN,
)
SOURCE_REQUIRED = {**SOURCE, "required": True}
FILE_NAME = _query("fileName", "The file's name, for people.", type="string", maxLength=1000)
FILE_STATUS = _query(
    "status", "Only files with this status.", type="string", enum=list(FILE_STATUSES)
)
DELIVERY_STATUS = _query(
    "status",
    "Only deliveries with this status.",
    type="string",
    enum=list(DELIVERY_STATUSES),
)
WEBHOOK_IN_PATH = _path("webhookId", format="uuid")
DELIVERY_IN_PATH = _path("deliveryId", format="uuid")
STATEMENT_IN_PATH = _path("statementId", format="uuid")
SOURCE_IN_PATH = _path("source", pattern=STORED_SOURCE_PATTERN)
LINE_IN_PATH = _path("lineId", pattern=ITEM_ID_PATTERN)
MATCH_IN_PATH = _path("matchId", pattern=ITEM_ID_PATTERN)
BREAK_IN_PATH = _path("breakId", pattern=ITEM_ID_PATTERN)
ON = _query(
    "on",
    "The day; by default the last with which a statement ends.",
    type="string",
    format="date",
    pattern=DAY_PATTERN,
)
AS_OF = _query(
    "asOf",
    "The day that tells pending entries from missing ones; by default today in UTC.",
    type="string",
    format="date",
    pattern=DAY_PATTERN,
)
BREAK_CLASS = _query("class", "Only breaks of this class.", type="string", enum=list(BREAK_CLASSES))
BREAK_AGE = _query(
    "age",
    "Only breaks of this age, in days since the booking.",
    type="string",
    enum=list(AGE_NAMES),
)
ASSIGNEE = _query("assignee", "Only breaks assigned to this person.", type="string", maxLength=1000)
BREAK_SORT = _query(
    "sort",
    "age: the first due first; amount: the largest first.",
    type="string",
    enum=list(BREAK_ORDERS),
    default=BREAK_ORDERS[0],
)
LINE_STATUS = _query(
    "status", "Only lines with this status.", type="string", enum=list(OPEN_LINE_STATUSES)
)
ENTRY_REFERENCE = _query(
    "reference",
    "Only entries with this reference, or of the payment with this id.",
    type="string",
    maxLength=1000,
)
ENTRY_AMOUNT = _query(
    "amount",
    "Only entries of this amount; money out is negative.",
    type="string",
    pattern=AMOUNT_TEXT_PATTERN,
)
BUCKET_SECONDS = _query(
    "bucketSeconds",
    "The length of each interval in seconds.",
    type="integer",
    enum=list(THROUGHPUT_BUCKETS_SECONDS),
    default=THROUGHPUT_BUCKETS_SECONDS[0],
)
ACCOUNT_IN_PATH = _path("accountId", pattern=STORED_ACCOUNT_ID_PATTERN)
PAYMENT_IN_PATH = _path("paymentId", format="uuid")
REVERSAL_IN_PATH = _path("reversalId", format="uuid")
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
