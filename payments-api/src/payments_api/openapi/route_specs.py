"""The specification of each route, for the OpenAPI document."""

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.openapi import parameters, schemas
from payments_api.openapi.parameters import Parameter
from payments_api.operations.requests import ActionRequest, DiscardRequest, ReplayRequest
from payments_core.http.edge import MisdirectedRequest
from payments_core.http.problems import (
    InternalError,
    MethodIsNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Problem,
)

Problems = tuple[type[Problem], ...]


class Link(NamedTuple):
    """A link that neither names nor paging imply: the answer's value at `pointer` is the parameter.

    The fuzzer follows it; without it no test replays or discards a job that a list returned.
    """

    name: str
    endpoint: str
    parameter: str
    pointer: str


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
    links: tuple[Link, ...] = ()


# The additional problems of a route that requires an API key.
PROTECTED: Problems = (errors.Unauthorized, errors.Forbidden)
ANYWHERE: Problems = (
    InternalError,
    errors.DatabaseUnavailable,
    errors.RateLimited,
    MethodIsNotAllowed,
    MisdirectedRequest,
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

_JOB_LINKS = tuple(
    Link(name, endpoint, "jobId", "jobs/0/id")
    for name, endpoint in (
        ("job", "jobs.get_job"),
        ("replay", "jobs.post_replay"),
        ("discard", "jobs.post_discard"),
    )
)

OPERATIONS = (
    Operation(
        "payments.post_payment",
        "payments",
        schemas.CreatedPayment,
        201,
        schemas.PaymentRequest,
        (parameters.KEY, parameters.OPERATOR),
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
        parameters=(
            parameters.ACCOUNT,
            parameters.STATUS,
            parameters.CURRENCY,
            parameters.DISCREPANCY,
            parameters.FROM,
            parameters.TO,
            parameters.REFERENCE,
            parameters.IDEMPOTENCY_KEY,
            *parameters.PAGING,
        ),
        problems=(*_PAGED, errors.Overloaded),
    ),
    Operation(
        "events.get_events",
        "payments",
        "text/event-stream",
        parameters=(parameters.ACCOUNT, parameters.LAST_EVENT_ID),
        problems=(*_PARAMETERS, errors.Overloaded, errors.TooManyStreams),
    ),
    Operation(
        "payments.get_one_payment",
        "payments",
        schemas.PaymentDetail,
        parameters=(parameters.PAYMENT_IN_PATH,),
        problems=(errors.PaymentNotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_accounts",
        "accounts",
        schemas.AccountPage,
        parameters=(parameters.PREFIX, *parameters.PAGING),
        problems=(*_PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_balance",
        "accounts",
        schemas.Balance,
        parameters=(parameters.ACCOUNT_IN_PATH, parameters.CURRENCY, parameters.AT),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded, errors.BalanceNotFinal),
    ),
    Operation(
        "accounts.get_entries",
        "accounts",
        schemas.Statement,
        parameters=(parameters.ACCOUNT_IN_PATH, parameters.CURRENCY, *parameters.PAGING),
        problems=(NotFound, *_PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_currencies",
        "accounts",
        schemas.Currencies,
        parameters=(parameters.ACCOUNT_IN_PATH,),
        problems=(NotFound, *_PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "jobs.get_jobs",
        "operations",
        schemas.JobPage,
        parameters=(parameters.JOB_STATUS, *parameters.PAGING),
        problems=_PAGED,
        links=_JOB_LINKS,
    ),
    Operation(
        "jobs.get_actions",
        "operations",
        schemas.ActionPage,
        parameters=parameters.PAGING,
        problems=_PAGED,
    ),
    Operation(
        "operator_actions.get_operator_actions",
        "operations",
        schemas.OperatorRecordPage,
        parameters=(parameters.ACTION, parameters.ACTOR, *parameters.PAGING),
        problems=_PAGED,
    ),
    Operation("jobs.get_stats", "operations", schemas.QueueStats, problems=_PARAMETERS),
    Operation(
        "jobs.get_job",
        "operations",
        schemas.Job,
        parameters=(parameters.JOB_IN_PATH,),
        problems=_ONE_JOB,
    ),
    Operation(
        "jobs.post_replay",
        "operations",
        schemas.Job,
        takes=ActionRequest,
        parameters=(parameters.JOB_IN_PATH, parameters.OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_discard",
        "operations",
        schemas.Job,
        takes=DiscardRequest,
        parameters=(parameters.JOB_IN_PATH, parameters.OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_replay_matching",
        "operations",
        schemas.Replayed,
        takes=ReplayRequest,
        parameters=(parameters.OPERATOR,),
        problems=_BODY,
    ),
    Operation("jobs.get_workers", "operations", schemas.Workers, problems=_PARAMETERS),
    Operation(
        "jobs.get_throughput",
        "operations",
        schemas.Throughput,
        parameters=(parameters.MINUTES,),
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
