"""What a subscriber was told: every committed event, each payment's in order, nothing else."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from testkit.chaos.system.subscriber import Subscriber
from testkit.chaos.verdict import Verdict
from testkit.database.sql import Sql
from testkit.network.receiver import Received, assert_signed

# Read from the tables of what happened, without any of the product's code.
EVENTS = """
SELECT coalesce(r.reversal_id, r.payment_id) AS event_id, coalesce(r.payment_id, v.payment_id),
       CASE WHEN r.reversal_id IS NULL THEN 'payment.' ELSE 'reversal.' END
           || CASE r.status WHEN 'failed' THEN 'failed' ELSE 'completed' END,
       (SELECT account_seq FROM ledger_entries e
        WHERE e.payment_id = coalesce(r.payment_id, v.payment_id) AND e.entry_type <> 'clearing'
          AND e.reversal_id IS NOT DISTINCT FROM r.reversal_id) AS account_seq, r.id AS position
FROM reconciliation_results r LEFT JOIN reversals v ON v.id = r.reversal_id
UNION ALL
SELECT event_id, payment_id, 'job.dead', NULL, id FROM job_deaths
ORDER BY position"""


@dataclass(frozen=True, slots=True)
class Event:
    """A committed event; `account_seq` is None if nothing was posted."""

    id: str
    payment_id: UUID
    type: str
    account_seq: int | None


async def read_committed(sql: Sql) -> list[Event]:
    """Return every committed event in the order of the log."""
    rows = await sql.fetch(EVENTS)
    return [Event(f"evt_{row[0].hex}", UUID(str(row[1])), row[2], row[3]) for row in rows]


def judge_told(verdict: Verdict, committed: Sequence[Event], subscriber: Subscriber) -> None:
    """Compare what the subscriber received and accepted with what was committed."""
    known = {event.id: event for event in committed}
    received = subscriber.receiver.received
    first_at = {event_id: n for n, event_id in reversed(list(enumerate(subscriber.accepted)))}
    verdict.differ("events did not arrive", known.keys() - first_at.keys())
    told = {request.event_id for request in received}
    verdict.differ("events arrived that were not committed", told - known.keys())
    _each_as_committed(verdict, known, received, subscriber.secret)
    of_payment: dict[UUID, list[str]] = defaultdict(list)
    for event in committed:
        of_payment[event.payment_id].append(event.id)
    disordered = {
        str(payment_id)
        for payment_id, ids in of_payment.items()
        if (order := [first_at.get(one, 0) for one in ids]) != sorted(order)
    }
    verdict.differ("payments' events arrived out of order", disordered)
    verdict.figures["events told"] = len(first_at)
    verdict.figures["attempts to tell"] = len(received)


def _each_as_committed(
    verdict: Verdict, known: dict[str, Event], received: Sequence[Received], secret: str
) -> None:
    bodies: dict[str, bytes] = {}
    wrong: dict[str, set[str]] = defaultdict(set)
    for request in received:
        if bodies.setdefault(request.event_id, request.body) != request.body:
            wrong["events had two bodies"].add(request.event_id)
        try:
            assert_signed(request, secret)
        except Exception as error:  # The verifier's own kinds.
            wrong["events were not signed"].add(f"{request.event_id} {error}")
    for event_id in bodies.keys() & known.keys():
        body: dict[str, Any] = json.loads(bodies[event_id])
        event, data = known[event_id], body["data"]
        said = (body["id"], body["type"], data.get("accountSeq"))
        if said != (event_id, event.type, event.account_seq):
            wrong["events say what did not happen"].add(f"{said}, not {event}")
    for what, events in wrong.items():
        verdict.differ(what, events)
