"""Where an answer leads: the OpenAPI document's links, from one operation to the next."""

from typing import Any

Links = dict[str, dict[str, Any]]

_FILTERS = ("accountId", "status", "currency", "discrepancy", "createdFrom", "createdTo", "limit")


def _link(endpoint: str, description: str, **parameters: str) -> dict[str, Any]:
    """Parameters are runtime expressions (OpenAPI 3.1, 4.8.20.4), here within the answer's body."""
    return {
        "operationId": endpoint.replace(".", "_"),
        "description": description,
        "parameters": {name: f"$response.body#/{pointer}" for name, pointer in parameters.items()},
    }


def _next_page(endpoint: str, *repeated: str) -> dict[str, Any]:
    link = _link(endpoint, "The next page; nextCursor is null on the last.", cursor="nextCursor")
    # A cursor belongs to its filters.
    link["parameters"] |= {name: f"$request.query.{name}" for name in repeated}
    return link


_PAYMENT = "payments.get_one_payment"
_OF_ITS_ACCOUNT: Links = {
    "paymentsOfItsAccount": _link(
        "payments.get_payments", "The payments of its account.", accountId="accountId"
    ),
    "entriesOfItsAccount": _link(
        "accounts.get_entries",
        "The statement of its account.",
        accountId="accountId",
        currency="currency",
    ),
    "balanceOfItsAccount": _link(
        "accounts.get_balance",
        "What its account holds.",
        accountId="accountId",
        currency="currency",
    ),
}
_JOB: Links = {
    "replay": _link("jobs.post_replay", "Replay it, if it is a dead letter.", jobId="id"),
    "discard": _link("jobs.post_discard", "Discard it, if it is a dead letter.", jobId="id"),
    "payment": _link(_PAYMENT, "Its payment.", paymentId="paymentId"),
}

LINKS: dict[str, Links] = {
    "payments.post_payment": {
        "payment": _link(_PAYMENT, "The payment as it stands.", paymentId="id"),
        **_OF_ITS_ACCOUNT,
    },
    "payments.post_batch": {
        "payment": _link(_PAYMENT, "The first item's.", paymentId="payments/0/payment/id"),
    },
    "payments.get_payments": {
        "payment": _link(_PAYMENT, "The first in full.", paymentId="payments/0/id"),
        "nextPage": _next_page("payments.get_payments", *_FILTERS),
    },
    _PAYMENT: {
        "job": _link("jobs.get_job", "The job that reconciles it.", jobId="job/id"),
        **_OF_ITS_ACCOUNT,
    },
    "accounts.get_entries": {
        "payment": _link(_PAYMENT, "The first entry's.", paymentId="entries/0/paymentId"),
    },
    "jobs.get_jobs": {
        "job": _link("jobs.get_job", "The first alone.", jobId="jobs/0/id"),
        "nextPage": _next_page("jobs.get_jobs", "status", "limit"),
    },
    "jobs.get_job": _JOB,
    "jobs.post_replay": {"payment": _JOB["payment"]},
    "jobs.post_discard": {"payment": _JOB["payment"]},
    "jobs.get_actions": {"nextPage": _next_page("jobs.get_actions", "limit")},
}
