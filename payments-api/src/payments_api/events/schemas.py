"""Schemas of the event log."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, JsonValue

from payments_api.http.schemas import LATER, Amount, Shape
from payments_api.payments.schemas import CREATED, CreatedPayment
from payments_api.reversals.schemas import CREATED as REVERSAL
from payments_api.reversals.schemas import CreatedReversal
from payments_core.domain.events import JOB_DEAD, WEBHOOK_DISABLED, EventType
from payments_core.domain.statuses import ResultStatus, SettledStatus

_ID = "evt_01936f5e3c7a7d5e9a510b6c8f1d2e3f"  # Of the payment of CREATED.
_SETTLED: dict[str, JsonValue] = {
    **CREATED,
    "settledAt": LATER,
    "discrepancyAmount": None,
    "accountSeq": 17,
}
_COMPLETED: dict[str, JsonValue] = {
    "status": "completed",
    "matched": True,
    "notes": "Reconciled",
    "ruleVersion": 1,
}
_FAILED: dict[str, JsonValue] = {
    "status": "failed",
    "matched": False,
    "notes": "Negative amount not allowed",
    "ruleVersion": 1,
}
_REVERSED: dict[str, JsonValue] = {**_COMPLETED, "notes": "Reversed"}
_DISCARDED: dict[str, JsonValue] = {
    "status": "failed",
    "matched": False,
    "notes": "Discarded by ann: sent by mistake",
    "ruleVersion": 0,
}
_ID_OF_REVERSAL = "evt_01936f5e3c7a7d5e9a510b6c8f1d2e40"
# An example of each type of event.
EXAMPLES: dict[EventType, dict[str, JsonValue]] = {
    "payment.completed": {
        "id": _ID,
        "type": "payment.completed",
        "createdAt": LATER,
        "data": {**_SETTLED, "status": "completed", "reconciliation": _COMPLETED},
    },
    "payment.failed": {
        "id": _ID,
        "type": "payment.failed",
        "createdAt": LATER,
        "data": {
            **_SETTLED,
            "amount": "-1.00",
            "status": "failed",
            "accountSeq": None,
            "reconciliation": _FAILED,
        },
    },
    "reversal.completed": {
        "id": _ID_OF_REVERSAL,
        "type": "reversal.completed",
        "createdAt": LATER,
        "data": {
            **REVERSAL,
            "settledAt": LATER,
            "status": "completed",
            "accountSeq": 18,
            "reconciliation": _REVERSED,
        },
    },
    "reversal.failed": {
        "id": _ID_OF_REVERSAL,
        "type": "reversal.failed",
        "createdAt": LATER,
        "data": {
            **REVERSAL,
            "settledAt": LATER,
            "status": "failed",
            "accountSeq": None,
            "reconciliation": _DISCARDED,
        },
    },
    JOB_DEAD: {
        "id": "evt_6b0e3c5f8a2d4d0f9c1e7a5b3d2f4e61",
        "type": JOB_DEAD,
        "createdAt": LATER,
        "data": {
            "paymentId": CREATED["id"],
            "reversalId": None,
            "accountId": CREATED["accountId"],
            "jobId": 17,
            "attempts": 10,
        },
    },
    WEBHOOK_DISABLED: {
        "id": "evt_8d1f4c2a9b3e4f60a7c5d2e1f0b9a8c7",
        "type": WEBHOOK_DISABLED,
        "createdAt": LATER,
        "data": {
            "endpointId": "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50",
            "reason": "failing",
            "failingSince": CREATED["createdAt"],
        },
    },
}


class Outcome(Shape):
    """How the payment settled. ruleVersion 0 is an operator's decision."""

    status: ResultStatus
    matched: bool
    notes: str
    rule_version: int


class SettledPayment(CreatedPayment):
    """The data of payment.completed and payment.failed.

    `accountSeq` numbers the account's ledger entries in its currency; null without an entry.
    """

    model_config = ConfigDict(json_schema_extra={"examples": []})

    status: SettledStatus  # type: ignore[assignment]  # Another promise than at creation.
    settled_at: datetime
    discrepancy_amount: Amount | None
    account_seq: int | None
    reconciliation: Outcome


class SettledReversal(CreatedReversal):
    """The data of reversal.completed and reversal.failed.

    `accountSeq` continues the payment's; null without a ledger entry.
    """

    model_config = ConfigDict(json_schema_extra={"examples": []})

    status: SettledStatus  # type: ignore[assignment]  # Another promise than at creation.
    settled_at: datetime
    account_seq: int | None
    reconciliation: Outcome


class DeadJob(Shape):
    """The data of job.dead.

    `reversalId` is null for a payment's job, `jobId` for a tenant's key.
    """

    payment_id: UUID
    reversal_id: UUID | None
    account_id: str
    job_id: int | None
    attempts: int


class DisabledWebhook(Shape):
    """The data of webhook.disabled. `gone`: the endpoint answered 410."""

    endpoint_id: UUID
    reason: Literal["gone", "failing"]
    failing_since: datetime | None


class Event(Shape):
    """An event. Its id and its data never change."""

    model_config = ConfigDict(json_schema_extra={"examples": list(EXAMPLES.values())})

    id: str
    type: EventType
    created_at: datetime
    data: SettledPayment | SettledReversal | DeadJob | DisabledWebhook


class EventPage(Shape):
    """Events in order. Continue with `nextAfter`: at once if `hasMore`, else after a pause."""

    events: list[Event]
    next_after: str
    has_more: bool
