"""What the OpenAPI document says of each route beyond its docstring."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, PAYMENTS_READ, PAYMENTS_WRITE
from payments_api.http import errors
from payments_api.http.query_params import LIMIT_DEFAULT, LIMIT_MAX
from payments_api.openapi import schemas
from payments_api.operations.requests import ActionRequest, DiscardRequest, ReplayRequest
from payments_core.domain.money import currencies
from payments_core.domain.payments import (
    IDEMPOTENCY_KEY_MAX_CHARS,
    STORED_ACCOUNT_ID_PATTERN,
)
from payments_core.domain.statuses import JOB_STATUSES, OPERATOR_ACTIONS, PAYMENT_STATUSES
from payments_core.http.problems import (
    InternalError,
    MethodIsNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Problem,
)

PUBLIC = None  # For anybody, with or without a key.

Parameter = dict[str, Any]
Problems = tuple[type[Problem], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: its endpoint's name in the app, who may use it, what goes in and comes out.

    `scope` is what an API key must allow, or PUBLIC. `answer` is a model, or a media type for
    what is not JSON. `problems` may come besides those that any route may give.
    """

    endpoint: str
    tag: str
    scope: str | None
    answer: type[BaseModel] | str
    status: int = 200
    takes: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: Problems = ()


def _query(name: str, description: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


_LIMIT = _query(
    "limit",
    "Rows of a page.",
    type="integer",
    minimum=1,
    maximum=LIMIT_MAX,
    default=LIMIT_DEFAULT,
)
_CURSOR = _query("cursor", "nextCursor of the page before.", type="string")
_PAGING = (_LIMIT, _CURSOR)
_CURRENCY = _query("currency", "ISO 4217.", type="string", enum=currencies())
_FROM = _query("createdFrom", "Created then or later.", type="string", format="date-time")
_TO = _query("createdTo", "Created before then.", type="string", format="date-time")
_AT = _query("at", "The moment; now when left out.", type="string", format="date-time")
_STATUS = _query("status", "Only these.", type="string", enum=list(PAYMENT_STATUSES))
_ACCOUNT = _query(
    "accountId",
    "Only this account's. A key without a tenant names one of a tenant as tenant~account.",
    type="string",
    pattern=STORED_ACCOUNT_ID_PATTERN,
)
_DISCREPANCY = _query(
    "discrepancy", "true: only payments that were completed with a discrepancy.", type="boolean"
)
_JOB_STATUS = _query(
    "status",
    "Jobs in this status; dead letters are failed.",
    type="string",
    enum=list(JOB_STATUSES),
    default="failed",
)
_ACTION = _query("action", "Only these.", type="string", enum=list(OPERATOR_ACTIONS))
_ACTOR = _query("actor", "Only this operator's.", type="string")
_OPERATOR = {
    "name": "Payments-Operator",
    "in": "header",
    "description": "Who acts behind this key, percent-encoded UTF-8, for the record. Only a key"
    " with the scope jobs:admin may name somebody.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1800},
    "example": "ada%40example.com",
}
_MINUTES = _query("minutes", "How far back.", type="integer", minimum=1, maximum=1440, default=15)
_ACCOUNT_IN_PATH = _path("accountId", pattern=STORED_ACCOUNT_ID_PATTERN)
_PAYMENT_IN_PATH = _path("paymentId", format="uuid")
_JOB_IN_PATH = _path("jobId", pattern="^[0-9]+$")
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Names this request for ever: sent again, with the same body, it gives the"
    " same answer. Bare, or quoted as in RFC 8941.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_MAX_CHARS,
        "pattern": "^[!#-~][!-~]*$",
    },
    "example": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The last event seen: what came after it is sent first, or a resync.",
    "schema": {"type": "string"},
}

# What a route that asks for an API key may answer besides.
KEPT: Problems = (errors.Unauthorized, errors.Forbidden)
ANYWHERE: Problems = (
    InternalError,
    errors.DatabaseUnavailable,
    errors.RateLimited,
    MethodIsNotAllowed,
)
_BODY: Problems = (
    errors.MalformedJson,
    errors.RequestTooSlow,
    PayloadTooLarge,
    errors.UnsupportedMediaType,
    errors.ValidationFailed,
)
_KEYED: Problems = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.Overloaded,
)
_PARAMETERS: Problems = (errors.ValidationFailed,)
_PAGED: Problems = (errors.ValidationFailed, errors.InvalidCursor)
_ONE_JOB: Problems = (errors.JobNotFound, *_PARAMETERS)
_ACT: Problems = (errors.JobNotFound, errors.JobNotDead, *_BODY)

OPERATIONS = (
    Operation(
        "payments.post_payment",
        "payments",
        PAYMENTS_WRITE,
        schemas.CreatedPayment,
        201,
        schemas.PaymentRequest,
        (_KEY, _OPERATOR),
        (*_BODY, *_KEYED),
    ),
    Operation(
        "payments.post_batch",
        "payments",
        PAYMENTS_WRITE,
        schemas.BatchAnswer,
        takes=schemas.BatchRequest,
        problems=(*_BODY, errors.Overloaded),
    ),
    Operation(
        "payments.get_payments",
        "payments",
        PAYMENTS_READ,
        schemas.PaymentPage,
        parameters=(_ACCOUNT, _STATUS, _CURRENCY, _DISCREPANCY, _FROM, _TO, *_PAGING),
        problems=(*_PAGED, errors.Overloaded),
    ),
    Operation(
        "events.get_events",
        "payments",
        PAYMENTS_READ,
        "text/event-stream",
        parameters=(_ACCOUNT, _LAST_EVENT_ID),
        problems=(*_PARAMETERS, errors.Overloaded, errors.TooManyStreams),
    ),
    Operation(
        "payments.get_one_payment",
        "payments",
        PAYMENTS_READ,
        schemas.PaymentDetail,
        parameters=(_PAYMENT_IN_PATH,),
        problems=(errors.PaymentNotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_balance",
        "accounts",
        LEDGER_READ,
        schemas.Balance,
        parameters=(_ACCOUNT_IN_PATH, _CURRENCY, _AT),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_entries",
        "accounts",
        LEDGER_READ,
        schemas.Statement,
        parameters=(_ACCOUNT_IN_PATH, _CURRENCY, *_PAGING),
        problems=(NotFound, *_PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_currencies",
        "accounts",
        LEDGER_READ,
        schemas.Currencies,
        parameters=(_ACCOUNT_IN_PATH,),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "jobs.get_jobs",
        "operations",
        JOBS_ADMIN,
        schemas.JobPage,
        parameters=(_JOB_STATUS, *_PAGING),
        problems=_PAGED,
    ),
    Operation(
        "jobs.get_actions",
        "operations",
        JOBS_ADMIN,
        schemas.ActionPage,
        parameters=_PAGING,
        problems=_PAGED,
    ),
    Operation(
        "operator_actions.get_operator_actions",
        "operations",
        JOBS_ADMIN,
        schemas.OperatorRecordPage,
        parameters=(_ACTION, _ACTOR, *_PAGING),
        problems=_PAGED,
    ),
    Operation("jobs.get_stats", "operations", JOBS_ADMIN, schemas.QueueStats, problems=_PARAMETERS),
    Operation(
        "jobs.get_job",
        "operations",
        JOBS_ADMIN,
        schemas.Job,
        parameters=(_JOB_IN_PATH,),
        problems=_ONE_JOB,
    ),
    Operation(
        "jobs.post_replay",
        "operations",
        JOBS_ADMIN,
        schemas.Job,
        takes=ActionRequest,
        parameters=(_JOB_IN_PATH, _OPERATOR),
        problems=_ACT,
    ),
    Operation(
        "jobs.post_discard",
        "operations",
        JOBS_ADMIN,
        schemas.Job,
        takes=DiscardRequest,
        parameters=(_JOB_IN_PATH, _OPERATOR),
        problems=_ACT,
    ),
    Operation(
        "jobs.post_replay_matching",
        "operations",
        JOBS_ADMIN,
        schemas.Replayed,
        takes=ReplayRequest,
        parameters=(_OPERATOR,),
        problems=_BODY,
    ),
    Operation("jobs.get_workers", "operations", JOBS_ADMIN, schemas.Workers, problems=_PARAMETERS),
    Operation(
        "jobs.get_throughput",
        "operations",
        JOBS_ADMIN,
        schemas.Throughput,
        parameters=(_MINUTES,),
        problems=_PARAMETERS,
    ),
    Operation("jobs.get_audit", "operations", JOBS_ADMIN, schemas.Audit, problems=_PARAMETERS),
    Operation("control.health", "control", PUBLIC, schemas.Status),
    Operation("control.livez", "control", PUBLIC, schemas.Status),
    Operation("control.readyz", "control", PUBLIC, schemas.Status, problems=(NotReady,)),
    Operation("control.metrics", "control", PUBLIC, "text/plain"),
    Operation("documents.get_openapi", "control", PUBLIC, "application/json"),
    Operation("documents.get_docs", "control", PUBLIC, "text/html"),
)

# For the check of each request, and the one place where a route says what it needs.
SCOPE_OF = {operation.endpoint: operation.scope for operation in OPERATIONS}
