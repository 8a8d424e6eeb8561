"""The Postgres under test: crashed and restarted, its sessions ended, its disk filled."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg

from payments_api.migrate import migrate
from payments_core.cli.database import DATABASE_ERRORS
from payments_local.errors import LocalError
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres, throwaway_folder
from testkit.database.sql import Sql
from testkit.waiting import until

DISK_BYTES = 700 * 2**20
BALLAST_CHUNK = bytes(2**20)
# Little log, so that the small disk does not fill without the fault.
SMALL = {"max_wal_size": "96MB", "min_wal_size": "32MB", "shared_buffers": "128MB"}


class Database:
    """The server of one run, on its own small disk if `small_disk` is set."""

    def __init__(self, server: EmbeddedPostgres, disk: Path | None) -> None:
        self.server = server
        self.disk = disk
        self.busy = asyncio.Lock()
        # Postgres ends with the thread that started it, and starting it blocks.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgres")

    async def start(self) -> None:
        """Start it; return when it answers."""
        await self._in_thread(self.server.start)

    async def crash(self) -> None:
        """Shut down immediately: nothing is flushed, every session ends."""
        await self._in_thread(self.server.crash)

    async def stop(self) -> None:
        """Stop it for good."""
        await self._in_thread(self.server.stop)
        self._thread.shutdown()

    async def start_if_it_died(self) -> bool:
        """Restart it if it ended, as a supervisor would; return whether it had ended."""
        child = self.server.child
        if child is not None and child.exit_status is None:
            return False
        await self.start()
        return True

    async def new_api_key(self) -> str:
        """Return an API key with all scopes, created as an operator does."""
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payments_api", "keys", "create"),
            *("--name", "chaos", "--scopes", "all"),
            env={**os.environ, "DATABASE_URL": self.server.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        key, words = await made.communicate()
        assert made.returncode == 0, words.decode()
        return key.decode().strip()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Sql]:
        """Open the superuser's connection, without any line."""
        connection = await asyncpg.connect(
            self.server.url, timeout=10, server_settings={"application_name": "chaos"}
        )
        try:
            yield connection
        finally:
            with suppress(*DATABASE_ERRORS):
                await connection.close(timeout=2)

    async def until_it_answers(self, seconds: float) -> None:
        """Return when it accepts connections and writes; it may be recovering."""

        async def answers() -> bool:
            try:
                async with self.connection() as sql:
                    await sql.execute("CREATE TEMP TABLE written (n int)")
            except DATABASE_ERRORS:
                return False
            return True

        await until(answers, seconds)

    def fill_disk(self) -> Path:
        """Write ballast until the disk is full; return its file, to be deleted."""
        assert self.disk is not None, "there is no small disk"
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(BALLAST_CHUNK)
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 512)
        return ballast


def small_disk_problem() -> str | None:
    """Return why a small disk is impossible here, or None."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    return None if shutil.which("mount") else "there is no mount program"


@contextmanager
def _disk(*, small: bool) -> Iterator[Path]:
    """Make a temporary folder; if it should be small, on its own file system."""
    with throwaway_folder() as folder:
        disk = folder / "disk"
        disk.mkdir(mode=0o711)
        try:
            if small:
                options = f"size={DISK_BYTES},mode=0711"
                command = ["mount", "-t", "tmpfs", "-o", options, "payments-chaos", str(disk)]
                subprocess.run(command, check=True)
            yield disk
        finally:
            if small:
                subprocess.run(["umount", "--lazy", str(disk)], check=False)


@asynccontextmanager
async def running_database(*, durable: bool, small_disk: bool) -> AsyncIterator[Database]:
    """Run a migrated server on a temporary folder."""
    with _disk(small=small_disk) as disk:
        server = EmbeddedPostgres(
            disk / "postgres",
            free_port(),
            durable=durable,
            settings=SMALL if small_disk else None,
        )
        database = Database(server, disk if small_disk else None)
        try:
            await database.start()
            await migrate(server.url)
            yield database
        finally:
            with suppress(LocalError):
                await database.stop()
