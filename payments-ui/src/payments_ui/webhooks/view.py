"""What the pages of webhooks show: what an act does, and the payment that a body concerns."""

import json
from dataclasses import dataclass

from payments_ui.api.types import DeliveryDetail


@dataclass(frozen=True)
class Act:
    """An act on an endpoint: the question, its consequence and its button."""

    question: str
    consequence: str
    button: str
    icon: str
    dangerous: bool = False


ACTS = {
    "test": Act(
        "Send a test event?",
        "The endpoint receives an event of the type webhook.test, signed like any other.",
        "Send",
        "send",
    ),
    "rotate": Act(
        "Replace the secret?",
        "Deliveries are signed with the new and the former secret, until the former one ends. The "
        "new one is shown once.",
        "Replace",
        "retry",
    ),
    "resend": Act(
        "Send failed deliveries again?",
        "Each is sent with the same id and body, and retried for three days: the oldest 1,000"
        " of those created since this time.",
        "Send again",
        "retry",
    ),
    "disable": Act(
        "Disable this endpoint?",
        "Nothing more is sent to it. Events that occur while it is disabled are not sent later.",
        "Disable",
        "cross",
        dangerous=True,
    ),
    "enable": Act(
        "Enable this endpoint?",
        "It receives the events that occur from now on. Deliveries that were pending continue.",
        "Enable",
        "check",
    ),
    "delete": Act(
        "Delete this endpoint?",
        "Its secrets are deleted, nothing more is sent to it, and this page no longer shows its "
        "deliveries. This cannot be undone.",
        "Delete",
        "trash",
        dangerous=True,
    ),
}
DONE = {
    "test": "Test event queued. It is the newest delivery below.",
    "disable": "Endpoint disabled.",
    "enable": "Endpoint enabled.",
    "delete": "Endpoint deleted.",
}


def payment_of(delivery: DeliveryDetail) -> str | None:
    """Return the id of the payment that the delivered event concerns, if it does."""
    try:
        data = json.loads(delivery["body"])["data"]
        found = data["id"] if delivery["type"].startswith("payment.") else data["paymentId"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
