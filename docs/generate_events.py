"""Write docs/events.md from the types of events and their examples; `make events-docs` runs it."""

import json
from pathlib import Path

from payments_api.events.schemas import EXAMPLES
from payments_core.domain.events import EVENT_TYPES, EVENTS_KEPT_DAYS

PAGE = Path(__file__).with_name("events.md")
INTRODUCTION = f"""\
# Events

`make events-docs` writes this page from the code: change that, not it.

`GET /events` lists what happened, in one order that never changes. It needs a key with the scope
`events:read`; a tenant's key reads its own tenant's events.

```sh
curl -s 'localhost:3001/events?after=latest'
# {{"events": [], "nextAfter": "...", "hasMore": false}}
curl -s 'localhost:3001/events?after=NEXT_AFTER&types=payment.completed,payment.failed&limit=200'
```

- Start with `after=latest`, or without `after` at the first event. Process the events of an answer,
  then store its `nextAfter`: it is the only position to keep. Ask again at once if `hasMore`, else
  after a pause of a second.
- An event is listed once its transaction and every earlier one have ended, so a reader that
  continues from `nextAfter` misses none, however late one commits. While a transaction takes longer
  than a second, the answer has no events.
- A reader that stops between processing and storing receives the same events again. Use `id` to
  recognise them: it never changes, nor does anything else in an event.
- A page scans a bounded number of events. With a filter it may be empty while `hasMore` is true.
- A payment's events are in the order in which they happened. `createdAt` is the time at which the
  transaction began, so it may go back a little from one event to the next.
- `accountSeq` is the sequence number of a settlement: of the account's ledger entry, counted from 1
  in each currency, as in `GET /accounts/{{accountId}}/entries` and as `sequence` of its balance. Of
  one payment, and of one account in one currency, the event with the larger number happened later,
  in whatever order they reach you. It is null if nothing was posted: a `payment.failed` is the
  last event of its payment, a `reversal.failed` of its reversal. A `job.dead` is out of date once
  its payment or reversal is settled.
- Settlements are kept as long as the ledger, the others for {EVENTS_KEPT_DAYS} days.
- Later releases add types and fields. Ignore those that you do not know.

`GET /payments/events` streams changes as they happen, to show them on a screen. It keeps no history
and may skip: use the event log where each event counts.

To have events sent to you as they happen, [receive webhooks](how-to/receive-webhooks.md).

## After a restore

If the operators restore the database to an earlier time, payments and events after that time are
gone from it, although you have received them. Jobs that were open then are settled again: an event
may come a second time with the same `id`, and with other data, or even as another type.

- Unless the operators [continue the numbers](operations/backup.md#events-and-webhooks), positions
  are given out again: a `nextAfter` of the later time skips every new event until the log has
  passed it. Use one that you stored before the time of the backup, or start without `after`.
- Read the log from there and compare each event with yours by `id` and `createdAt`. Where they
  differ, the restored one is true. If `GET` answers 404 for a payment or reversal that you have, it
  is lost: create it again, with the same idempotency key.
- `accountSeq` continues from the restored balance: forget later numbers.
"""


def page() -> str:
    """Return the page's text."""
    parts = [INTRODUCTION]
    for name, meaning in EVENT_TYPES.items():
        example = json.dumps(EXAMPLES[name], indent=2)
        parts.append(f"## `{name}`\n\n{meaning}\n\n```json\n{example}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
