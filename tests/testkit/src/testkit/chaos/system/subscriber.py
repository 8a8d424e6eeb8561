"""A subscriber to webhooks that fails, hangs, lies and dies, and remembers what it accepted."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.webhooks.endpoints import EndpointFields, create_endpoint
from testkit.chaos.system.database import Database
from testkit.network.receiver import Received, Receiver, accept, answer, hang, running_receiver
from testkit.waiting import until

ALIVE_SECONDS_MAX, DEAD_SECONDS_MAX = 6.0, 1.5
# Due at once: those that wait for a retry, and those whose worker was killed.
SOON = """
WITH unpaused AS (UPDATE webhook_endpoints SET paused_until = NULL)
UPDATE webhook_deliveries SET next_attempt_at = now()
WHERE status = 'pending' AND next_attempt_at > now()
  AND (lease_token IS NULL OR next_attempt_at < now() + interval '28 s')"""
WAITING = """
SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending') + (
    SELECT count(*) FROM reconciliation_results, webhook_cursor WHERE id > position) + (
    SELECT count(*) FROM job_deaths, webhook_cursor WHERE id > position)"""


@dataclass
class Subscriber:
    """`accepted` are the ids of events in their order, some more than once; `chance` chooses."""

    receiver: Receiver
    secret: str
    chance: random.Random
    accepted: list[str] = field(default_factory=list)
    honest: bool = False

    async def behave(self, request: Received, writer: asyncio.StreamWriter) -> None:
        """Accept most requests, and do something else to the others."""
        match 0 if self.honest else self.chance.randrange(100):
            case choice if choice < 60:
                self.accepted.append(request.event_id)
                await accept(request, writer)
            case choice if choice < 70:
                writer.write(answer(500, b"no"))
            case choice if choice < 72:
                writer.write(answer(429, b"later", "retry-after: 1"))
            case choice if choice < 76:
                writer.write(answer(302, b"", f"location: {self.receiver.url('/elsewhere')}"))
            case choice if choice < 80:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
                writer.close()
            case choice if choice < 84:
                writer.write(b"I am no server\r\n\r\n")
            case choice if choice < 90:
                writer.close()
            case choice if choice < 98:
                self.accepted.append(request.event_id)  # It has the event, and its answer is lost.
                writer.close()
            case _:
                await hang(request, writer)

    async def die_now_and_then(self) -> None:
        """Refuse connections for a moment, again and again, until it is honest."""
        while not self.honest:
            await asyncio.sleep(self.chance.uniform(1, ALIVE_SECONDS_MAX))
            await self.receiver.die()
            await asyncio.sleep(self.chance.uniform(0, DEAD_SECONDS_MAX))
            await self.receiver.rise()


@asynccontextmanager
async def subscribed(database: Database, seed: str) -> AsyncIterator[Subscriber]:
    """Run a subscriber to all events while the block runs."""
    engine = create_engine(database.server.url, application_name="chaos", pool_size=1)
    async with running_receiver() as receiver:
        async with transaction(engine) as tx:
            fields = EndpointFields(receiver.url(), loopback_allowed=True)
            _, secret = await create_endpoint(tx, fields, None, Operator("chaos"))
        await engine.dispose()
        subscriber = Subscriber(receiver, secret, random.Random(f"subscriber/{seed}"))
        receiver.behave = subscriber.behave
        dying = asyncio.create_task(subscriber.die_now_and_then())
        try:
            yield subscriber
        finally:
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)


async def until_told(database: Database, subscriber: Subscriber, seconds: float) -> None:
    """Let the subscriber accept everything; return when no event waits. Raises TimeoutError."""
    subscriber.honest = True

    async def told() -> bool:
        async with database.connection() as sql:
            await sql.execute(SOON)
            return not await sql.fetchval(WAITING)

    await until(told, seconds)
