"""The parameters of routes of statements, matching and webhooks, for the OpenAPI document."""

from payments_api.auth.item_ids import ITEM_ID_PATTERN
from payments_api.http.query_params import DAY_PATTERN
from payments_api.openapi.parameters import path, query
from payments_core.domain.matching import (
    ADJUSTMENT_STATUSES,
    AGE_NAMES,
    BREAK_CLASSES,
    BREAK_ORDERS,
    BREAK_STATUSES,
    MATCH_STATUSES,
)
from payments_core.domain.money import AMOUNT_TEXT_PATTERN
from payments_core.domain.payments import SOURCE_PATTERN, TENANT_PATTERN
from payments_core.domain.statements import FILE_STATUSES, OPEN_LINE_STATUSES
from payments_core.domain.webhooks import DELIVERY_STATUSES

STORED_SOURCE_PATTERN = f"^({TENANT_PATTERN}~)?{SOURCE_PATTERN[1:]}"
SOURCE = query(
    "source",
    "The source of the file. A key without a tenant names a tenant's source as tenant~name.",
    type="string",
    pattern=STORED_SOURCE_PATTERN,
)
SOURCE_REQUIRED = {**SOURCE, "required": True}
FILE_NAME = query("fileName", "The file's name, for people.", type="string", maxLength=1000)
FILE_STATUS = query(
    "status", "Only files with this status.", type="string", enum=list(FILE_STATUSES)
)
DELIVERY_STATUS = query(
    "status",
    "Only deliveries with this status.",
    type="string",
    enum=list(DELIVERY_STATUSES),
)
WEBHOOK_IN_PATH = path("webhookId", format="uuid")
DELIVERY_IN_PATH = path("deliveryId", format="uuid")
STATEMENT_IN_PATH = path("statementId", format="uuid")
SOURCE_IN_PATH = path("source", pattern=STORED_SOURCE_PATTERN)
LINE_IN_PATH = path("lineId", pattern=ITEM_ID_PATTERN)
MATCH_IN_PATH = path("matchId", pattern=ITEM_ID_PATTERN)
ADJUSTMENT_IN_PATH = path("adjustmentId", format="uuid")
ADJUSTMENT_STATUS = query(
    "status",
    "Only adjustments with this status.",
    type="string",
    enum=list(ADJUSTMENT_STATUSES),
)
LINE_OF_ADJUSTMENT = query(
    "line", "Only adjustments of this line.", type="string", pattern=ITEM_ID_PATTERN
)
BREAK_IN_PATH = path("breakId", pattern=ITEM_ID_PATTERN)
ON = query(
    "on",
    "The day; by default the last with which a statement ends.",
    type="string",
    format="date",
    pattern=DAY_PATTERN,
)
AS_OF = query(
    "asOf",
    "The day that tells pending entries from missing ones; by default today in UTC.",
    type="string",
    format="date",
    pattern=DAY_PATTERN,
)
BREAK_CLASS = query("class", "Only breaks of this class.", type="string", enum=list(BREAK_CLASSES))
BREAK_STATUS = query(
    "status",
    "`open` (default) or `resolved`. Resolved breaks list lines before entries, newest first. `age`"
    " and `sort` apply to open breaks only.",
    type="string",
    enum=list(BREAK_STATUSES),
    default=BREAK_STATUSES[0],
)
MATCH_STATUS = query(
    "status",
    "Only active matches, or only undone ones.",
    type="string",
    enum=list(MATCH_STATUSES),
    default=MATCH_STATUSES[0],
)
MATCH_RUN = query("run", "Only matches of this run.", type="string", pattern=ITEM_ID_PATTERN)
BREAK_AGE = query(
    "age",
    "Only breaks of this age, in days since the booking.",
    type="string",
    enum=list(AGE_NAMES),
)
ASSIGNEE = query("assignee", "Only breaks assigned to this person.", type="string", maxLength=1000)
BREAK_SORT = query(
    "sort",
    "age: the first due first; amount: the largest first.",
    type="string",
    enum=list(BREAK_ORDERS),
    default=BREAK_ORDERS[0],
)
LINE_STATUS = query(
    "status", "Only lines with this status.", type="string", enum=list(OPEN_LINE_STATUSES)
)
ENTRY_REFERENCE = query(
    "reference",
    "Only entries with this reference, or of the payment with this id.",
    type="string",
    maxLength=1000,
)
ENTRY_AMOUNT = query(
    "amount",
    "Only entries of this amount; money out is negative.",
    type="string",
    pattern=AMOUNT_TEXT_PATTERN,
)
