"""The specification of each route, for the OpenAPI document."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.http.query_params import LIMIT_DEFAULT, LIMIT_MAX
from payments_api.openapi import schemas
from payments_api.operations.requests import ActionRequest, DiscardRequest, ReplayRequest
from payments_core.domain.money import currencies
from payments_core.domain.payments import (
    IDEMPOTENCY_KEY_MAX_CHARS,
    STORED_ACCOUNT_ID_PATTERN,
)
from payments_core.domain.statuses import (
    FAILED,
    JOB_STATUSES,
    OPERATOR_ACTIONS,
    PAYMENT_STATUSES,
)
from payments_core.http.problems import (
    InternalError,
    MethodIsNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Problem,
)

Parameter = dict[str, Any]
Problems = tuple[type[Problem], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: its endpoint in the app, its request and its answers.

    `answer` is a model, or the media type of an answer that is not JSON. `problems` are added to
    those that every route may return.
    """

    endpoint: str
    tag: str
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
    "The maximum number of items to return.",
    type="integer",
    minimum=1,
    maximum=LIMIT_MAX,
    default=LIMIT_DEFAULT,
)
_CURSOR = _query("cursor", "The nextCursor of the previous page.", type="string")
_PAGING = (_LIMIT, _CURSOR)
_CURRENCY = _query("currency", "An ISO 4217 code.", type="string", enum=currencies())
_FROM = _query(
    "createdFrom", "Only items created at this time or later.", type="string", format="date-time"
)
_TO = _query("createdTo", "Only items created before this time.", type="string", format="date-time")
_AT = _query(
    "at",
    "The point in time; the present by default and for a later one. The answer's `at` says which"
    " it is; the balance at that time never changes.",
    type="string",
    format="date-time",
)
_STATUS = _query(
    "status", "Only payments with this status.", type="string", enum=list(PAYMENT_STATUSES)
)
_ACCOUNT = _query(
    "accountId",
    "Only payments of this account. A key without a tenant names a tenant's account as"
    " tenant~account.",
    type="string",
    pattern=STORED_ACCOUNT_ID_PATTERN,
)
_DISCREPANCY = _query(
    "discrepancy", "true: only payments completed with a discrepancy.", type="boolean"
)
_JOB_STATUS = _query(
    "status",
    "Only jobs with this status; dead letters are failed.",
    type="string",
    enum=list(JOB_STATUSES),
    default=FAILED,
)
_ACTION = _query("action", "Only this action.", type="string", enum=list(OPERATOR_ACTIONS))
_ACTOR = _query("actor", "Only actions of this operator.", type="string")
_OPERATOR = {
    "name": "Payments-Operator",
    "in": "header",
    "description": "The operator to record for this request, in percent-encoded UTF-8. Requires an"
    " API key with the scope jobs:admin.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1800},
    "example": "ada%40example.com",
}
_MINUTES = _query(
    "minutes",
    "The number of minutes to look back.",
    type="integer",
    minimum=1,
    maximum=1440,
    default=15,
)
_ACCOUNT_IN_PATH = _path("accountId", pattern=STORED_ACCOUNT_ID_PATTERN)
_PAYMENT_IN_PATH = _path("paymentId", format="uuid")
_JOB_IN_PATH = _path("jobId", pattern="^[0-9]+$")
_KEY = {
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
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event received: later events are sent first, or a resync.",
    "schema": {"type": "string"},
}

# The additional problems of a route that requires an API key.
PROTECTED: Problems = (errors.Unauthorized, errors.Forbidden)
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
_IDEMPOTENT: Problems = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.Overloaded,
)
_PARAMETERS: Problems = (errors.ValidationFailed,)
_PAGED: Problems = (errors.ValidationFailed, errors.InvalidCursor)
_ONE_JOB: Problems = (errors.JobNotFound, *_PARAMETERS)
_DECISION: Problems = (errors.JobNotFound, errors.JobNotDead, *_BODY)

OPERATIONS = (
    Operation(
        "payments.post_payment",
        "payments",
        schemas.CreatedPayment,
        201,
        schemas.PaymentRequest,
        (_KEY, _OPERATOR),
        (*_BODY, *_IDEMPOTENT),
    ),
    Operation(
        "payments.post_batch",
        "payments",
        schemas.BatchAnswer,
        takes=schemas.BatchRequest,
        problems=(*_BODY, errors.Overloaded),
    ),
    Operation(
        "payments.get_payments",
        "payments",
        schemas.PaymentPage,
        parameters=(_ACCOUNT, _STATUS, _CURRENCY, _DISCREPANCY, _FROM, _TO, *_PAGING),
        problems=(*_PAGED, errors.Overloaded),
    ),
    Operation(
        "events.get_events",
        "payments",
        "text/event-stream",
        parameters=(_ACCOUNT, _LAST_EVENT_ID),
        problems=(*_PARAMETERS, errors.Overloaded, errors.TooManyStreams),
    ),
    Operation(
        "payments.get_one_payment",
        "payments",
        schemas.PaymentDetail,
        parameters=(_PAYMENT_IN_PATH,),
        problems=(errors.PaymentNotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_balance",
        "accounts",
        schemas.Balance,
        parameters=(_ACCOUNT_IN_PATH, _CURRENCY, _AT),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded, errors.BalanceNotFinal),
    ),
    Operation(
        "accounts.get_entries",
        "accounts",
        schemas.Statement,
        parameters=(_ACCOUNT_IN_PATH, _CURRENCY, *_PAGING),
        problems=(NotFound, *_PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_currencies",
        "accounts",
        schemas.Currencies,
        parameters=(_ACCOUNT_IN_PATH,),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "jobs.get_jobs",
        "operations",
        schemas.JobPage,
        parameters=(_JOB_STATUS, *_PAGING),
        problems=_PAGED,
    ),
    Operation(
        "jobs.get_actions",
        "operations",
        schemas.ActionPage,
        parameters=_PAGING,
        problems=_PAGED,
    ),
    Operation(
        "operator_actions.get_operator_actions",
        "operations",
        schemas.OperatorRecordPage,
        parameters=(_ACTION, _ACTOR, *_PAGING),
        problems=_PAGED,
    ),
    Operation("jobs.get_stats", "operations", schemas.QueueStats, problems=_PARAMETERS),
    Operation(
        "jobs.get_job",
        "operations",
        schemas.Job,
        parameters=(_JOB_IN_PATH,),
        problems=_ONE_JOB,
    ),
    Operation(
        "jobs.post_replay",
        "operations",
        schemas.Job,
        takes=ActionRequest,
        parameters=(_JOB_IN_PATH, _OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_discard",
        "operations",
        schemas.Job,
        takes=DiscardRequest,
        parameters=(_JOB_IN_PATH, _OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_replay_matching",
        "operations",
        schemas.Replayed,
        takes=ReplayRequest,
        parameters=(_OPERATOR,),
        problems=_BODY,
    ),
    Operation("jobs.get_workers", "operations", schemas.Workers, problems=_PARAMETERS),
    Operation(
        "jobs.get_throughput",
        "operations",
        schemas.Throughput,
        parameters=(_MINUTES,),
        problems=_PARAMETERS,
    ),
    Operation("jobs.get_audit", "operations", schemas.Audit, problems=_PARAMETERS),
    Operation("control.health", "control", schemas.Status),
    Operation("control.livez", "control", schemas.Status),
    Operation("control.readyz", "control", schemas.Status, problems=(NotReady,)),
    Operation("control.metrics", "control", "text/plain"),
    Operation("documents.get_openapi", "control", "application/json"),
    Operation("documents.get_docs", "control", "text/html"),
)
