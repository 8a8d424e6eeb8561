"""A primary and a streaming standby behind one address that clients use."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from payments_local import programs, run_as
from payments_local.data_folder import postgres_dir
from payments_local.ports import free_port
from payments_local.postgres import BIN, EmbeddedPostgres, throwaway_folder
from testkit.network.tcp_proxy import TcpProxy
from testkit.waiting import until
from testkit.worker.own_system import migrated_postgres

TRIES_MAX = 3


@dataclass(slots=True)
class Pair:
    """The primary streams to the standby; `address` leads to the primary until it is moved."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    address: TcpProxy

    def url(self, role: str) -> str:
        """Return the database's URL at the movable address."""
        return f"postgresql://{role}@127.0.0.1:{self.address.port}/payments"

    def move_address_to(self, server: EmbeddedPostgres, *, keep_sessions: bool = False) -> None:
        """Forward new connections to the server; open ones end, or stay with `keep_sessions`."""
        self.address.lead_to(server.port)
        if not keep_sessions:
            self.address.cut()
            self.address.mend()

    async def until_caught_up(self) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        primary = await asyncpg.connect(self.primary.url)
        standby = await asyncpg.connect(self.standby.url)
        try:
            written = await primary.fetchval("SELECT pg_current_wal_lsn()::text")

            async def replayed() -> bool:
                caught_up: bool = await standby.fetchval(
                    "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written
                )
                return caught_up

            await until(replayed)
        finally:
            await primary.close()
            await standby.close()

    async def promote(self) -> None:
        """Make the standby a primary; return once it accepts writes."""
        standby = await asyncpg.connect(self.standby.url)
        try:
            assert await standby.fetchval("SELECT pg_promote()")
        finally:
            await standby.close()


def fail_over(scenario: Callable[[Pair], Coroutine[Any, Any, None]]) -> None:
    """Run the scenario on a new pair, which it cannot undo; the best of three may be in time.

    Other tests share the machine. Raises the TimeoutError of the last one.
    """
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            with primary_and_standby() as pair:
                asyncio.run(scenario(pair))
            return
        except TimeoutError:
            if not tries_left:
                raise


@contextmanager
def primary_and_standby() -> Iterator[Pair]:
    """Run both, at the schema's head."""
    with migrated_postgres() as primary, throwaway_folder() as folder:
        standby = _standby_of(primary, folder)
        address = TcpProxy(primary.port)
        try:
            standby.start()
            yield Pair(primary, standby, address)
        finally:
            address.cut()
            address.close()
            standby.stop()


def _standby_of(primary: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    pgdata = postgres_dir(folder)
    user = run_as.unprivileged(pgdata, must_reach=(pgdata.parent, BIN / "postgres"))
    pgdata.mkdir(mode=0o700)
    run_as.give(pgdata, user)
    copy = [str(BIN / "pg_basebackup"), "-D", str(pgdata), "-h", "127.0.0.1", "-U", "postgres"]
    copy += ["-p", str(primary.port), "-X", "stream", "-R", "--checkpoint=fast", "--no-sync"]
    programs.run_to_end(copy, user, "")
    return EmbeddedPostgres(pgdata, free_port(), durable=False)
