"""The specification of each route, for the OpenAPI document."""

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.openapi import parameters, schemas
from payments_api.openapi.operation import (
    BODY,
    IDEMPOTENT,
    PAGED,
    PARAMETERS,
    Link,
    Operation,
    Problems,
)
from payments_api.openapi.parameters import Parameter
from payments_api.openapi.webhook_specs import WEBHOOK_OPERATIONS
from payments_api.operations.requests import (
    ActionRequest,
    DiscardMatchingRequest,
    DiscardRequest,
    ReplayRequest,
)
from payments_core.http.problems import NotFound, NotReady, PayloadTooLarge

_ONE_JOB: Problems = (errors.JobNotFound, *PARAMETERS)
_DECISION: Problems = (errors.JobNotFound, errors.JobNotDead, *BODY)

_JOB_LINKS = tuple(
    Link(name, endpoint, "jobId", "jobs/0/id")
    for name, endpoint in (
        ("job", "jobs.get_job"),
        ("replay", "jobs.post_replay"),
        ("discard", "jobs.post_discard"),
    )
)
_FILTERS = (
    parameters.ACCOUNT,
    parameters.STATUS,
    parameters.CURRENCY,
    parameters.DISCREPANCY,
    parameters.DEAD_LETTER,
    parameters.FROM,
    parameters.TO,
    parameters.REFERENCE,
    parameters.IDEMPOTENCY_KEY,
    parameters.ID_PREFIX,
    parameters.ID_SUFFIX,
    parameters.DESCRIPTION,
    parameters.AMOUNT,
)

_FILE_DECISION: Problems = (
    errors.StatementNotFound,
    errors.StatementNotQuarantined,
    errors.StatementNotAcceptable,
    errors.Overloaded,
    *BODY,
)
_STATEMENT_LINKS = tuple(
    Link(name, endpoint, "statementId", "statements/0/id")
    for name, endpoint in (
        ("statement", "statements.get_statement"),
        ("lines", "statements.get_lines"),
        ("accept", "statements.post_accept"),
        ("reject", "statements.post_reject"),
    )
)

_OF_SOURCE: Problems = (errors.SourceNotFound, errors.Overloaded)
_LINE_ACT: Problems = (errors.LineNotFound, errors.MatchRefused, *_OF_SOURCE, *BODY)
_LINE_PARAMETERS = (parameters.SOURCE_IN_PATH, parameters.LINE_IN_PATH, parameters.OPERATOR)


def _of_source(
    endpoint: str,
    answer: type[BaseModel] | str,
    *listed: Parameter,
    problems: Problems = PARAMETERS,
    links: tuple[Link, ...] = (),
) -> Operation:
    """Return the specification of a route that reads something of a source."""
    listed = (parameters.SOURCE_IN_PATH, *listed)
    problems = (*_OF_SOURCE, *problems)
    return Operation(
        f"matching.{endpoint}",
        "matching",
        answer,
        parameters=listed,
        problems=problems,
        links=links,
    )


def _paged_of_source(
    endpoint: str, answer: type[BaseModel], *listed: Parameter, links: tuple[Link, ...] = ()
) -> Operation:
    listed = (*listed, *parameters.PAGING)
    return _of_source(endpoint, answer, *listed, problems=PAGED, links=links)


def _line_act(endpoint: str) -> Operation:
    """Return the specification of a route that sets a line aside or opens it again."""
    return Operation(
        f"matching_acts.{endpoint}",
        "matching",
        schemas.LineDetail,
        takes=schemas.LineRequest,
        parameters=_LINE_PARAMETERS,
        problems=_LINE_ACT,
    )


_MATCHING = (
    *(
        _of_source(endpoint, answer, parameters.ON, parameters.AS_OF)
        for endpoint, answer in (
            ("get_report", schemas.ReconciliationReport),
            ("get_report_csv", "text/csv"),
        )
    ),
    _paged_of_source("get_runs", schemas.RunPage),
    _paged_of_source(
        "get_breaks",
        schemas.BreakPage,
        parameters.BREAK_CLASS,
        parameters.BREAK_AGE,
        parameters.ASSIGNEE,
        parameters.AS_OF,
        parameters.BREAK_SORT,
    ),
    _of_source(
        "get_break",
        schemas.Break,
        parameters.BREAK_IN_PATH,
        parameters.AS_OF,
        problems=(errors.BreakNotFound, *PARAMETERS),
    ),
    _paged_of_source("get_open_lines", schemas.SourceLinePage, parameters.LINE_STATUS),
    _of_source(
        "get_line",
        schemas.LineDetail,
        parameters.LINE_IN_PATH,
        problems=(errors.LineNotFound, *PARAMETERS),
    ),
    _paged_of_source(
        "get_open_entries",
        schemas.OpenEntryPage,
        parameters.ENTRY_REFERENCE,
        parameters.ENTRY_AMOUNT,
    ),
    _of_source(
        "get_match",
        schemas.Match,
        parameters.MATCH_IN_PATH,
        problems=(errors.MatchNotFound, *PARAMETERS),
    ),
    Operation(
        "matching_acts.post_match",
        "matching",
        schemas.Match,
        201,
        schemas.MatchRequest,
        (parameters.SOURCE_IN_PATH, parameters.OPERATOR),
        _LINE_ACT,
    ),
    Operation(
        "matching_acts.post_undo",
        "matching",
        schemas.Match,
        takes=schemas.UndoRequest,
        parameters=(parameters.SOURCE_IN_PATH, parameters.MATCH_IN_PATH, parameters.OPERATOR),
        problems=(errors.MatchNotFound, errors.MatchRefused, *_OF_SOURCE, *BODY),
    ),
    _line_act("post_explain"),
    _line_act("post_ignore"),
    _line_act("post_reopen"),
    Operation(
        "matching_acts.post_annotate",
        "matching",
        schemas.Break,
        takes=schemas.AnnotateRequest,
        parameters=(parameters.SOURCE_IN_PATH, parameters.BREAK_IN_PATH, parameters.OPERATOR),
        problems=(errors.BreakNotFound, *_OF_SOURCE, *BODY),
    ),
)

OPERATIONS = (
    Operation(
        "payments.post_payment",
        "payments",
        schemas.CreatedPayment,
        201,
        schemas.PaymentRequest,
        (parameters.KEY, parameters.OPERATOR),
        (*BODY, *IDEMPOTENT),
    ),
    Operation(
        "payments.post_batch",
        "payments",
        schemas.BatchAnswer,
        takes=schemas.BatchRequest,
        problems=(*BODY, errors.Overloaded),
    ),
    Operation(
        "payments.get_payments",
        "payments",
        schemas.PaymentPage,
        parameters=(*_FILTERS, parameters.ORDER, *parameters.PAGING),
        problems=(*PAGED, errors.Overloaded),
    ),
    Operation(
        "payments.get_totals",
        "payments",
        schemas.PaymentTotals,
        parameters=_FILTERS,
        problems=(*PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "events.get_event_log",
        "events",
        schemas.EventPage,
        parameters=(parameters.AFTER, parameters.EVENT_TYPES_LISTED, parameters.LIMIT),
        problems=(*PAGED, errors.Overloaded, errors.EventsNotFinal),
    ),
    Operation(
        "events.get_events",
        "payments",
        "text/event-stream",
        parameters=(parameters.ACCOUNT, parameters.LAST_EVENT_ID),
        problems=(*PARAMETERS, errors.Overloaded, errors.TooManyStreams),
    ),
    Operation(
        "payments.get_one_payment",
        "payments",
        schemas.PaymentDetail,
        parameters=(parameters.PAYMENT_IN_PATH,),
        problems=(errors.PaymentNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "reversals.post_reversal",
        "payments",
        schemas.CreatedReversal,
        201,
        schemas.ReversalRequest,
        (parameters.PAYMENT_IN_PATH, parameters.KEY, parameters.OPERATOR),
        (
            errors.PaymentNotFound,
            errors.PaymentNotCompleted,
            errors.ReversalExceedsPayment,
            *BODY,
            errors.IdempotencyKeyMissing,
            errors.IdempotencyKeyInvalid,
            errors.IdempotencyKeyReused,
        ),
    ),
    Operation(
        "reversals.get_reversals",
        "payments",
        schemas.ReversalPage,
        parameters=(parameters.PAYMENT_IN_PATH, *parameters.PAGING),
        problems=(errors.PaymentNotFound, *PAGED, errors.Overloaded),
    ),
    Operation(
        "reversals.get_one_reversal",
        "payments",
        schemas.Reversal,
        parameters=(parameters.REVERSAL_IN_PATH,),
        problems=(errors.ReversalNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_accounts",
        "accounts",
        schemas.AccountPage,
        parameters=(parameters.PREFIX, parameters.NAME_ORDER, *parameters.PAGING),
        problems=(*PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_totals",
        "accounts",
        schemas.AccountTotals,
        parameters=(parameters.PREFIX,),
        problems=(*PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_balance",
        "accounts",
        schemas.Balance,
        parameters=(parameters.ACCOUNT_IN_PATH, parameters.CURRENCY, parameters.AT),
        problems=(NotFound, *PARAMETERS, errors.Overloaded, errors.BalanceNotFinal),
    ),
    Operation(
        "accounts.get_entries",
        "accounts",
        schemas.Statement,
        parameters=(
            parameters.ACCOUNT_IN_PATH,
            parameters.CURRENCY,
            parameters.ORDER,
            *parameters.PAGING,
        ),
        problems=(NotFound, *PAGED, errors.Overloaded),
    ),
    Operation(
        "accounts.get_history",
        "accounts",
        schemas.BalanceHistory,
        parameters=(
            parameters.ACCOUNT_IN_PATH,
            parameters.CURRENCY,
            parameters.HISTORY_FROM,
            parameters.POINTS,
        ),
        problems=(NotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "accounts.get_currencies",
        "accounts",
        schemas.Currencies,
        parameters=(parameters.ACCOUNT_IN_PATH,),
        problems=(NotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "statements.get_sources",
        "statements",
        schemas.SourcePage,
        parameters=parameters.PAGING,
        problems=(*PAGED, errors.Overloaded),
    ),
    Operation(
        "statements.post_source",
        "statements",
        schemas.Source,
        201,
        schemas.SourceRequest,
        (parameters.OPERATOR,),
        (*BODY, errors.SourceExists, errors.Overloaded),
    ),
    Operation(
        "statements.get_source",
        "statements",
        schemas.Source,
        parameters=(parameters.SOURCE_IN_PATH,),
        problems=(errors.SourceNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "statements.post_statement",
        "statements",
        schemas.StatementFile,
        202,
        "application/octet-stream",
        (parameters.SOURCE_REQUIRED, parameters.FILE_NAME, parameters.OPERATOR),
        (
            errors.SourceNotFound,
            errors.RequestTooSlow,
            PayloadTooLarge,
            errors.UnsupportedMediaType,
            errors.ValidationFailed,
            errors.Overloaded,
        ),
        also=200,
        located=True,
    ),
    Operation(
        "statements.get_statements",
        "statements",
        schemas.StatementFilePage,
        parameters=(parameters.SOURCE, parameters.FILE_STATUS, *parameters.PAGING),
        problems=(errors.SourceNotFound, *PAGED, errors.Overloaded),
        links=_STATEMENT_LINKS,
    ),
    Operation(
        "statements.get_statement",
        "statements",
        schemas.StatementFileDetail,
        parameters=(parameters.STATEMENT_IN_PATH,),
        problems=(errors.StatementNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "statements.get_lines",
        "statements",
        schemas.StatementLinePage,
        parameters=(parameters.STATEMENT_IN_PATH, *parameters.PAGING),
        problems=(errors.StatementNotFound, *PAGED, errors.Overloaded),
    ),
    Operation(
        "statements.post_accept",
        "statements",
        schemas.StatementFile,
        202,
        schemas.AcceptRequest,
        (parameters.STATEMENT_IN_PATH, parameters.OPERATOR),
        _FILE_DECISION,
    ),
    Operation(
        "statements.post_reject",
        "statements",
        schemas.StatementFile,
        takes=schemas.RejectRequest,
        parameters=(parameters.STATEMENT_IN_PATH, parameters.OPERATOR),
        problems=_FILE_DECISION,
    ),
    *_MATCHING,
    Operation(
        "jobs.get_jobs",
        "operations",
        schemas.JobPage,
        parameters=(parameters.JOB_STATUS, parameters.ERROR_GROUP, *parameters.PAGING),
        problems=PAGED,
        links=_JOB_LINKS,
    ),
    Operation("jobs.get_groups", "operations", schemas.DeadLetterGroups, problems=PARAMETERS),
    Operation(
        "jobs.get_actions",
        "operations",
        schemas.ActionPage,
        parameters=parameters.PAGING,
        problems=PAGED,
    ),
    Operation(
        "operator_actions.get_operator_actions",
        "operations",
        schemas.OperatorRecordPage,
        parameters=(parameters.ACTION, parameters.ACTOR, *parameters.PAGING),
        problems=PAGED,
    ),
    Operation("jobs.get_stats", "operations", schemas.QueueStats, problems=PARAMETERS),
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
        problems=BODY,
    ),
    Operation(
        "jobs.post_discard_matching",
        "operations",
        schemas.Discarded,
        takes=DiscardMatchingRequest,
        parameters=(parameters.OPERATOR,),
        problems=BODY,
    ),
    Operation("jobs.get_workers", "operations", schemas.Workers, problems=PARAMETERS),
    Operation(
        "jobs.get_throughput",
        "operations",
        schemas.Throughput,
        parameters=(parameters.MINUTES, parameters.BUCKET_SECONDS),
        problems=PARAMETERS,
    ),
    Operation("jobs.get_audit", "operations", schemas.Audit, problems=PARAMETERS),
    Operation("jobs.get_seal_state", "operations", schemas.Seal, problems=PARAMETERS),
    *WEBHOOK_OPERATIONS,
    Operation("control.health", "control", schemas.Status),
    Operation("control.livez", "control", schemas.Status),
    Operation("control.readyz", "control", schemas.Status, problems=(NotReady,)),
    Operation("control.metrics", "control", "text/plain"),
    Operation("documents.get_openapi", "control", "application/json"),
    Operation("documents.get_docs", "control", "text/html"),
)
