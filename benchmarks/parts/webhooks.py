"""Webhooks to a local receiver beside steady payments: deliveries per second, and their delay.

One worker settles PAYMENTS_PER_SECOND and another sends each event to ENDPOINTS endpoints. The
delay is from an event's settlement to its arrival at the receiver.
"""

import asyncio
import json
import statistics
import time
from datetime import datetime

import asyncpg
import psutil

from benchmarks.contest import Figures
from benchmarks.databases import FILL, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.processes import running_worker

PAYMENTS_PER_SECOND = 50
ENDPOINTS = 10  # Together 500 deliveries a second.
ACCOUNTS = 1_000
WAIT_SECONDS_MAX = 60.0
ADD = """
WITH endpoint AS (
    INSERT INTO webhook_endpoints (id, url) VALUES (gen_random_uuid(), $1) RETURNING id
)
INSERT INTO webhook_secrets (endpoint_id, secret) SELECT id, sha256('x') FROM endpoint"""
DELIVERED = "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'"


class _Receiver:
    """Accepts every webhook, and notes how late it is."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.first_at = self.last_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = head.lower().index(b"content-length:") + 15
                body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                now = time.time()
                event = json.loads(body)
                settled_at = datetime.fromisoformat(event["data"]["settledAt"]).timestamp()
                self.delays.append(now - settled_at)
                self.first_at, self.last_at = self.first_at or now, now
        except (OSError, asyncio.IncompleteReadError):
            writer.close()


def measure(effort: Effort) -> Figures:
    """Return deliveries per second, their delay, and the sender's memory."""
    with durable_postgres() as server:
        url = fresh_database(server.url, "bench")
        return asyncio.run(_measure(url, effort.latency_seconds))


async def _measure(url: str, seconds: float) -> Figures:
    receiver = _Receiver()
    served = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = served.sockets[0].getsockname()[1]
    sql = await asyncpg.connect(url)
    for number in range(ENDPOINTS):
        await sql.execute(ADD, f"http://127.0.0.1:{port}/{number}")
    sending = {"RECON_WORKER_ROLES": "webhooks", "RECON_WORKER_WEBHOOK_LOOPBACK": "true"}
    with (
        running_worker(url, RECON_WORKER_ROLES="jobs"),
        running_worker(url, **sending) as sender,
    ):
        process = psutil.Process(sender.pid)
        used = sum(process.cpu_times()[:2])
        wanted, peak_bytes = 0, 0
        begun = time.perf_counter()
        while (now := time.perf_counter() - begun) < seconds:
            due = int(now * PAYMENTS_PER_SECOND) - wanted
            if due:
                await sql.execute(FILL, due, ACCOUNTS, f"webhooks-{wanted}")
                wanted += due
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await sql.fetchval(DELIVERED) < wanted * ENDPOINTS:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.1)
        used = sum(process.cpu_times()[:2]) - used
    await sql.close()
    served.close()
    assert len(receiver.delays) == wanted * ENDPOINTS, "a delivery was lost or repeated"
    cuts = statistics.quantiles(receiver.delays, n=100)
    return {
        "payments_per_second": PAYMENTS_PER_SECOND,
        "endpoints": ENDPOINTS,
        "deliveries": len(receiver.delays),
        "deliveries_per_second": len(receiver.delays) / (receiver.last_at - receiver.first_at),
        "delay_seconds": {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98]},
        "sender_processor_seconds": used,
        "sender_mebibytes": peak_bytes / 2**20,
    }
