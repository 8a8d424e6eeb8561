"""The system under faults: a Postgres, APIs and workers of several kinds, lines between them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testkit.chaos.earlier_release import earlier_commit, knows_webhooks, unpack
from testkit.chaos.system.database import Database, running_database, small_disk_problem
from testkit.chaos.system.pooler import Pooler, pooler, pooler_problem, role_statements
from testkit.chaos.system.services import Service, python_service
from testkit.chaos.system.subscriber import Subscriber, subscribed
from testkit.network.line import Line
from testkit.waiting import until

LEASE_SECONDS = 2.0
WORKER_ENVIRON = {
    # Short, so that many leases expire in a run.
    "RECON_WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
    "RECON_WORKER_RESCUE_INTERVAL_SECONDS": "0.5",
    "RECON_WORKER_BATCH_SIZE": "25",  # Many batches, so that faults interrupt some.
    "RECON_WORKER_DRAIN_SECONDS": "15",
    "RECON_WORKER_AUDIT_INTERVAL_SECONDS": "3",
    "RECON_WORKER_WEBHOOK_LOOPBACK": "true",
}
# A payment to this account cannot be settled and becomes a dead letter.
POISONED = "poisoned"
POISON = f"""
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'poisoned payment'; END $$;
CREATE TRIGGER poison BEFORE UPDATE ON payments FOR EACH ROW
WHEN (NEW.account_id = '{POISONED}') EXECUTE FUNCTION poison();
CREATE FUNCTION few_attempts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF (SELECT account_id FROM payments WHERE id = NEW.payment_id) = '{POISONED}' THEN
        NEW.max_attempts := 2;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER few_attempts BEFORE INSERT ON recon_jobs FOR EACH ROW
EXECUTE FUNCTION few_attempts()"""
LIBFAKETIME = "*/faketime/libfaketime.so.1"  # In /usr/lib, of Debian's package libfaketime.


@dataclass(frozen=True)
class SystemSpec:
    """The services of a run. Workers: this, pooled, skewed, earlier. APIs: this, earlier."""

    apis: Sequence[str] = ("this", "earlier")
    workers: Sequence[str] = ("this", "pooled", "skewed", "earlier")
    small_disk: bool = True
    durable: bool = True


@dataclass
class System:
    """All parts that a fault can affect. Lines are named by the service that they serve."""

    database: Database
    api_key: str = ""  # The clients' key, with all scopes.
    apis: list[Service] = field(default_factory=list)
    workers: list[Service] = field(default_factory=list)
    pooler: Pooler | None = None
    subscriber: Subscriber | None = None
    api_lines: list[Line] = field(default_factory=list)  # From the clients to each API.
    postgres_lines: dict[str, Line] = field(default_factory=dict)  # From each service.

    @property
    def services(self) -> list[Service]:
        """Return all our processes, without Postgres."""
        return [*self.apis, *self.workers, *([self.pooler] if self.pooler else [])]

    def kill_all(self) -> None:
        """Kill all our processes."""
        for service in self.services:
            service.kill()

    def mend_all(self) -> None:
        """End the disturbance of every line."""
        for line in (*self.api_lines, *self.postgres_lines.values()):
            line.mend()

    def assert_running(self) -> None:
        """Raise AssertionError if a part ended that no fault ended."""
        for service in self.services:
            service.assert_running()


def supported(spec: SystemSpec) -> tuple[SystemSpec, list[str]]:
    """Return the part of the spec that this machine supports, and why the rest is missing.

    A service of this release replaces one that is missing.
    """
    problems = {
        "pooled": pooler_problem() if "pooled" in spec.workers else None,
        "skewed": None if _libfaketime() else "libfaketime is not installed",
        "earlier": None if earlier_commit() else "git has no earlier release",
    }
    reasons = [
        f"no {kind} {what}: {problems[kind]}"
        for what, kinds in (("API", spec.apis), ("worker", spec.workers))
        for kind in kinds
        if problems.get(kind)
    ]
    disk_problem = small_disk_problem() if spec.small_disk else None
    if disk_problem:
        reasons.append(f"no full disk: {disk_problem}")
    present = SystemSpec(
        apis=["this" if problems.get(kind) else kind for kind in spec.apis],
        workers=["this" if problems.get(kind) else kind for kind in spec.workers],
        small_disk=spec.small_disk and not disk_problem,
        durable=spec.durable,
    )
    return present, reasons


def skewed(by: str) -> dict[str, str]:
    """Return the environment of a process whose clock differs; a second stays a second."""
    return {
        "LD_PRELOAD": str(_libfaketime()),
        "FAKETIME": by,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _libfaketime() -> Path | None:
    return next(Path("/usr/lib").glob(LIBFAKETIME), None)


@asynccontextmanager
async def running_system(spec: SystemSpec, folder: Path, seed: str) -> AsyncIterator[System]:
    """Run the system while the block runs; its logs go to the folder."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            running_database(durable=spec.durable, small_disk=spec.small_disk)
        )
        async with database.connection() as sql:
            await sql.execute(POISON)
            for statement in role_statements() if "pooled" in spec.workers else ():
                await sql.execute(statement)
        system = System(database, await database.new_api_key())
        system.subscriber = await stack.enter_async_context(subscribed(database, seed))
        stack.callback(system.kill_all)
        earlier = folder / "earlier"
        commit = earlier_commit()
        kinds = {*spec.apis, *spec.workers}
        old_path = unpack(commit, earlier) if commit and "earlier" in kinds else ""
        for kind in spec.apis:
            await _add_api(system, kind, folder, old_path, stack)
        for number, kind in enumerate(spec.workers, start=1):
            await _add_worker(system, kind, number, folder, old_path, stack)
        for service in system.services:
            service.start()
        await asyncio.gather(*(part.until_ready() for part in (*system.apis, *system.workers)))
        yield system


async def _line(target_port: int, stack: AsyncExitStack) -> Line:
    line = Line(target_port)
    await line.open()
    stack.push_async_callback(line.close)
    return line


def _url(role: str, port: int) -> str:
    return f"postgresql://{role}@127.0.0.1:{port}/payments"


async def _add_api(
    system: System, kind: str, folder: Path, old_path: str, stack: AsyncExitStack
) -> None:
    name = f"api-{len(system.apis) + 1}-{kind}"
    line = await _line(system.database.server.port, stack)
    system.postgres_lines[name] = line
    environ = {"DATABASE_URL": _url("payments_api", line.port)}
    environ |= {"PYTHONPATH": old_path} if kind == "earlier" else {}
    service = python_service(name, "payments_api", "serve", folder, environ)
    system.apis.append(service)
    system.api_lines.append(await _line(service.port, stack))


async def _add_worker(
    system: System, kind: str, number: int, folder: Path, old_path: str, stack: AsyncExitStack
) -> None:
    name = f"worker-{number}-{kind}"
    port = system.database.server.port
    environ = dict(WORKER_ENVIRON)
    if kind == "pooled":
        system.pooler = pooler(folder, port)
        port = system.pooler.port
        environ["RECON_WORKER_POLL_ONLY"] = "true"
        environ["RECON_WORKER_AUDIT_INTERVAL_SECONDS"] = "0"  # The auditor holds a session's lock.
    elif kind == "skewed":
        environ |= skewed("+1h" if number % 2 else "-1h")
    elif kind == "earlier":
        environ["PYTHONPATH"] = old_path
        if not knows_webhooks(earlier_commit() or ""):
            del environ["RECON_WORKER_WEBHOOK_LOOPBACK"]
    line = await _line(port, stack)
    system.postgres_lines[name] = line
    environ["DATABASE_URL"] = _url("payments_worker", line.port)
    system.workers.append(python_service(name, "recon_worker", "run", folder, environ))


async def until_idle(system: System, seconds: float) -> None:
    """Return when no job is left. Raises TimeoutError."""
    query = "SELECT count(*) FROM recon_jobs WHERE status IN ('pending', 'processing')"

    async def idle() -> bool:
        async with system.database.connection() as sql:
            return not await sql.fetchval(query)

    await until(idle, seconds)
