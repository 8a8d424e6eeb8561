"""The specification of the routes of payments, reversals, accounts and events."""

from payments_api.http import errors
from payments_api.openapi import parameters, schemas
from payments_api.openapi.operation import (
    BODY,
    IDEMPOTENT,
    PAGED,
    PARAMETERS,
    Operation,
)
from payments_core.http.problems import NotFound

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

PAYMENT_OPERATIONS = (
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
            *IDEMPOTENT,
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
)
