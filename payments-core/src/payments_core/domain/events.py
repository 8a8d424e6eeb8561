"""The types of events in the event log."""

from typing import Literal

EventType = Literal[
    "payment.completed",
    "payment.failed",
    "reversal.completed",
    "reversal.failed",
    "job.dead",
    "webhook.disabled",
]

JOB_DEAD: EventType = "job.dead"
WEBHOOK_DISABLED: EventType = "webhook.disabled"
EVENT_TYPES: dict[EventType, str] = {
    "payment.completed": "The payment is settled and posted to the ledger.",
    "payment.failed": "The payment is settled without a posting.",
    "reversal.completed": "The reversal is settled and posted to the ledger.",
    "reversal.failed": "An operator discarded the reversal; its amount can be reversed again.",
    JOB_DEAD: "The job used up its attempts; an operator replays or discards it.",
    WEBHOOK_DISABLED: "A webhook endpoint answered 410, or failed for five days: it is disabled.",
}
EVENT_ID_PREFIX = "evt_"
EVENTS_KEPT_DAYS = 30  # Of dead jobs and disabled webhooks; results are kept like the ledger.
