"""Payments at a steady rate, from an open loop: a slow answer delays no other request.

Speaks HTTP/1.1 over asyncio streams, because a client library would cost more than the API. Latency
counts from the moment when a request was due, so that a stall shows in every request that waited.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

CONNECTIONS = 64
ACCOUNTS = 1_000
ANSWER_SECONDS_MAX = 20.0
REMEMBERED_EACH = 50  # One in this many payments is followed until it is settled.


@dataclass
class SteadyLoad:
    """A steady load; `latencies` (seconds) and `followed` ids grow until a caller takes them."""

    port: int
    api_key: str
    prefix: str
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    broken: int = 0  # Connections that ended without an answer.
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def accepted(self) -> int:
        """Return the number of payments answered with 201, each with its own key."""
        return self.statuses[201]

    async def run(self, per_second: float | None, seconds: float) -> None:
        """Send this many requests per second; None sends as many as the connections allow."""
        begun = time.monotonic()
        due = itertools.count()

        async def customer() -> None:
            connection = None
            try:
                while True:
                    now = time.monotonic()
                    at = now if per_second is None else begun + next(due) / per_second
                    if max(at, now) - begun >= seconds:
                        return  # Do not send overdue requests.
                    if at > now:
                        await asyncio.sleep(at - now)
                    connection = await self._pay(connection, at)
            finally:
                if connection is not None:
                    connection[1].close()

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(customer())

    async def _pay(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None, at: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        number = next(self._serial)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                connection[1].write(self._request(number))
                status, body = await _answer(connection[0])
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            self.broken += 1
            if connection is not None:
                with suppress(OSError):
                    connection[1].close()
            return None
        self.statuses[status] += 1
        self.latencies.append(time.monotonic() - at)
        if status == 201 and number % REMEMBERED_EACH == 0:
            self.followed.append(json.loads(body)["id"])
        return connection

    def _request(self, number: int) -> bytes:
        body = (
            f'{{"accountId": "acc_{number % ACCOUNTS}", "amount": "{number % 900 + 1}.00",'
            f' "description": "steady"}}'
        ).encode()
        head = (
            "POST /payments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.api_key}\r\n"
            f"Idempotency-Key: {self.prefix}-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)
