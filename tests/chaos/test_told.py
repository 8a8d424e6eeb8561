"""The verdict over a subscriber detects each way in which it can be told wrongly."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from testkit.chaos.system.subscriber import Subscriber
from testkit.chaos.told import Event, judge_told
from testkit.chaos.verdict import Verdict
from testkit.network.receiver import Received, Receiver

SECRET = "whsec_" + "A" * 32
COMMITTED = [
    Event("evt_1", UUID(int=1), "payment.completed", 1),
    Event("evt_2", UUID(int=2), "payment.failed", None),
    Event("evt_3", UUID(int=1), "reversal.completed", 2),
]


def _request(event: Event, **changed: object) -> Received:
    body = {"id": event.id, "type": event.type, "data": {"accountSeq": event.account_seq}} | changed
    text, now = json.dumps(body), datetime.now(UTC)
    headers = {
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(event.id, now, text),
    }
    return Received("/", headers, text.encode(), 1)


def _told() -> Subscriber:
    """Return a subscriber that was told all, the first event twice."""
    receiver = Receiver(received=[_request(one) for one in (COMMITTED[0], *COMMITTED)])
    accepted = [request.event_id for request in receiver.received]
    return Subscriber(receiver, SECRET, random.Random(0), accepted)


def _judged(subscriber: Subscriber) -> list[str]:
    verdict = Verdict()
    judge_told(verdict, COMMITTED, subscriber)
    return verdict.wrong


def test_a_subscriber_that_was_told_all_passes() -> None:
    assert _judged(_told()) == []


def _lose(one: Subscriber) -> None:
    one.accepted.remove("evt_2")


def _invent(one: Subscriber) -> None:
    one.receiver.received.append(_request(Event("evt_9", UUID(int=9), "payment.completed", 1)))


def _disorder(one: Subscriber) -> None:
    one.accepted.reverse()


def _reword(one: Subscriber) -> None:
    one.receiver.received.append(_request(COMMITTED[0], more="words"))


def _forge(one: Subscriber) -> None:
    one.receiver.received[0].headers["webhook-signature"] = "v1,AAAA"


def _misreport(one: Subscriber) -> None:
    one.receiver.received = [_request(one, data={"accountSeq": 7}) for one in COMMITTED]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_lose, "1 events did not arrive: evt_2"),
        (_invent, "1 events arrived that were not committed: evt_9"),
        (_disorder, f"1 payments' events arrived out of order: {UUID(int=1)}"),
        (_reword, "1 events had two bodies: evt_1"),
        (_forge, "1 events were not signed: evt_1"),
        (_misreport, "3 events say what did not happen"),
    ],
)
def test_what_a_subscriber_was_told_wrongly_is_reported(
    damage: Callable[[Subscriber], None], says: str
) -> None:
    subscriber = _told()
    damage(subscriber)
    [complaint] = _judged(subscriber)
    assert complaint.startswith(says)
