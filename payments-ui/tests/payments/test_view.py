"""A payment's timeline, from the API's data."""

from typing import Any, cast

import pytest

from payments_ui.api.types import PaymentDetail
from payments_ui.payments.view import timeline

AT = "2026-11-22T20:00:00.000000Z"
JOB = {
    "id": 1,
    "status": "completed",
    "attempts": 1,
    "maxAttempts": 10,
    "createdAt": AT,
    "lockedAt": AT,
    "lockedBy": "w-1",
    "runAt": AT,
    "lastError": None,
    "updatedAt": AT,
}
RESULT = {
    "status": "completed",
    "matched": True,
    "discrepancyAmount": None,
    "notes": None,
    "ruleVersion": 1,
    "createdAt": AT,
}


def story(status: str, job: dict[str, Any] | None, result: dict[str, Any] | None) -> list[str]:
    payment = {
        "status": status,
        "currency": "USD",
        "createdAt": AT,
        "settledAt": AT if result else None,
        "job": None if job is None else JOB | job,
        "reconciliation": None if result is None else RESULT | result,
        "ledgerEntries": [{"createdAt": AT}] if status == "completed" else [],
    }
    return [f"{step.kind}: {step.title}" for step in timeline(cast(PaymentDetail, payment))]


@pytest.mark.parametrize(
    ("status", "job", "result", "told"),
    [
        (
            "pending",
            {"status": "pending", "attempts": 0},
            None,
            ["waiting: In the queue", "waiting: Reconciled"],
        ),
        (
            "pending",
            {"status": "processing"},
            None,
            ["active: Claimed by w-1", "waiting: Reconciled"],
        ),
        (
            "pending",
            {"status": "pending", "attempts": 3, "lastError": "lock timeout"},
            None,
            ["warning: Attempt 3 of 10 failed", "waiting: Next attempt", "waiting: Reconciled"],
        ),
        ("pending", {"status": "failed", "attempts": 10}, None, ["failed: Dead letter"]),
        (
            "in_review",  # A status of a newer release.
            {"status": "pending", "attempts": 0},
            None,
            ["waiting: In review", "waiting: Reconciled"],
        ),
        ("in_review", {"status": "failed", "attempts": 10}, None, ["failed: Dead letter"]),
        (
            "completed",
            {},
            {},
            ["done: Claimed by w-1", "done: Reconciled: matched", "done: Posted to the ledger"],
        ),
        (
            "completed",
            None,
            {"status": "completed_with_discrepancy", "discrepancyAmount": "0.13"},
            ["warning: Reconciled: differs by 0.13 USD", "done: Posted to the ledger"],
        ),
        ("failed", {}, {"status": "failed"}, ["done: Claimed by w-1", "failed: Failed"]),
    ],
)
def test_a_timeline_has_the_steps_of_the_payment(
    status: str, job: dict[str, Any] | None, result: dict[str, Any] | None, told: list[str]
) -> None:
    assert story(status, job, result) == ["done: Created", *told]
