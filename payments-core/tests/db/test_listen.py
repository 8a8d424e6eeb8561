"""LISTEN: every notification arrives, and a lost connection is replaced and reported."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from payments_core.db import listen as listening
from payments_core.db.listen import listen
from payments_local.postgres import EmbeddedPostgres
from testkit.database.sql import Sql
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import until

CHANNEL = "heard"


@dataclass
class Heard:
    """Records the calls of a listener's callbacks."""

    payloads: list[str] = field(default_factory=list)
    connected: int = 0
    lost: int = 0
    task: "asyncio.Task[None] | None" = None

    def start(self, dsn: str) -> None:
        """Listen in the background."""

        def on_connected() -> None:
            self.connected += 1

        def on_lost() -> None:
            self.lost += 1

        self.task = asyncio.create_task(
            listen(dsn, CHANNEL, self.payloads.append, on_connected, "test-listen", on_lost)
        )

    async def until_connected(self, times: int) -> None:
        """Wait until it has connected this many times."""

        async def connected_often_enough() -> bool:
            return self.connected >= times

        await until(connected_often_enough)

    async def until_payloads(self, payloads: list[str]) -> None:
        """Wait until exactly these payloads have arrived."""

        async def heard() -> bool:
            return self.payloads == payloads

        await until(heard)


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    heard = Heard()
    yield heard
    assert heard.task is not None
    assert not heard.task.done()
    heard.task.cancel()
    await asyncio.gather(heard.task, return_exceptions=True)


async def _terminate_listeners(sql: Sql) -> None:
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'test-listen'"
    )


async def test_every_notification_arrives_in_order(
    sql: Sql, database_url: str, heard: Heard
) -> None:
    heard.start(database_url)
    await heard.until_connected(1)
    for text in ("one", "", "three"):
        await sql.execute("SELECT pg_notify($1, $2)", CHANNEL, text)
    await heard.until_payloads(["one", "", "three"])


async def test_a_cut_connection_is_replaced_and_reported(
    sql: Sql, database_url: str, heard: Heard
) -> None:
    heard.start(database_url)
    for times in (1, 2, 3):
        await heard.until_connected(times)
        assert heard.lost == times - 1
        await sql.execute("SELECT pg_notify($1, $2)", CHANNEL, str(times))
        await heard.until_payloads([str(n) for n in range(1, times + 1)])
        await _terminate_listeners(sql)


async def test_a_heartbeat_detects_a_half_open_connection(
    postgres: EmbeddedPostgres,
    database_url: str,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(listening, "CONNECT_TIMEOUT_SECONDS", 0.5)
    proxy = TcpProxy(postgres.port)
    heard.start(database_url.replace(str(postgres.port), str(proxy.port)))
    await heard.until_connected(1)
    proxy.delay_answers(2.0)  # Neither an answer nor the end of the connection arrives in time.

    async def lost() -> bool:
        return heard.lost >= 1

    await until(lost)
    proxy.mend()
    await heard.until_connected(2)
    proxy.close()


async def test_reconnecting_pauses_grow(
    database_url: str, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def count(seconds: float) -> None:
        if seconds >= listening.RECONNECT_SECONDS_MIN:
            pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", count)
    heard.start(database_url.replace("/payments", "/nowhere"))

    async def enough() -> bool:
        return len(pauses) >= 8

    await until(enough)
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_a_listener_leaves_a_demoted_server(
    sql: Sql, database_url: str, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "HEARTBEAT_SECONDS", 0.1)
    heard.start(database_url)
    await heard.until_connected(1)
    await sql.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        await sql.execute("SELECT pg_reload_conf()")

        async def lost() -> bool:
            return heard.lost >= 1

        await until(lost)
    finally:
        await sql.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await sql.execute("SELECT pg_reload_conf()")
    await heard.until_connected(2)
