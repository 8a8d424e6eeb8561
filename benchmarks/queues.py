"""The peers' queues: their own processes work through a backlog, with their best settings."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks.contest import Contender
from benchmarks.databases import fresh_database, one_value, until_false
from benchmarks.peers import ledger
from benchmarks.processes import Absent, go, peer_command, peer_run, peer_worker
from benchmarks.results import figures_of

UNFINISHED = {
    "pgqueuer_jobs": "SELECT EXISTS (SELECT FROM pgqueuer)",
    "procrastinate_jobs": "SELECT EXISTS (SELECT FROM procrastinate_jobs)",
    "graphile.js": "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
    "pgboss.js": """
        SELECT EXISTS (SELECT FROM pgboss.job WHERE name = 'job' AND state < 'completed')""",
}

JOBS_MIN = 500


@dataclass(slots=True)
class System:
    """One contender: `drain` completes a backlog of jobs and returns the seconds."""

    name: str
    drain: Callable[[str, int], float]
    jobs_per_second: float  # An estimate at first, then the last measured rate.

    def sample(self, url: str, seconds: float) -> dict[str, float]:
        """Return jobs per second over a backlog of about `seconds`."""
        jobs = max(JOBS_MIN, int(self.jobs_per_second * seconds))
        self.jobs_per_second = jobs / self.drain(url, jobs)
        return {"per_second": self.jobs_per_second}

    def contender(self, url: str, seconds: float) -> Contender:
        """Return a contender with samples of `seconds`."""
        return Contender(self.name, partial(self.sample, url, seconds))


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's program with a kind of job: `nothing`, or the ledger's work as `one` or `four`

    statements. Its program reads `settings` from the environment, beside its own defaults.
    """

    name: str
    program: str
    kind: str
    workers: int
    jobs_per_second: float  # An estimate.
    settings: Mapping[str, str] = field(default_factory=dict)

    def system(self) -> System:
        """Return the system to measure. Raises Absent without its dependencies."""
        peer_command(self.program)
        return System(self.name, partial(_drain, self), self.jobs_per_second)

    def contender(self, url: str, seconds: float) -> Contender:
        """Return a contender with samples of `seconds`. Raises Absent."""
        return self.system().contender(url, seconds)


PEERS = (
    Peer("PgQueuer, 1 worker, no-op", "pgqueuer_jobs", "nothing", 1, 10_000),
    Peer("PgQueuer, 2 workers, no-op", "pgqueuer_jobs", "nothing", 2, 15_000),
    Peer("PgQueuer, 2 workers, ledger, 4 statements", "pgqueuer_jobs", "four", 2, 1_500),
    Peer("PgQueuer, 2 workers, ledger, 1 statement", "pgqueuer_jobs", "one", 2, 2_500),
    Peer("procrastinate, 2 workers, no-op", "procrastinate_jobs", "nothing", 2, 700),
    Peer("procrastinate, 2 workers, ledger, 4 statements", "procrastinate_jobs", "four", 2, 500),
    Peer("procrastinate, 2 workers, ledger, 1 statement", "procrastinate_jobs", "one", 2, 600),
    Peer("graphile-worker, 1 worker, no-op", "graphile.js", "nothing", 1, 20_000),
    Peer("graphile-worker, 2 workers, no-op", "graphile.js", "nothing", 2, 30_000),
    Peer("pg-boss, 2 workers, no-op", "pgboss.js", "nothing", 2, 20_000),
)


def best_settings(program: str, kind: str) -> Mapping[str, str]:
    """Return the best settings that the tune part found; none if it was never run."""
    try:
        found: Mapping[str, str] = figures_of("tune")["best"].get(f"{program} {kind}", {})
    except FileNotFoundError:
        return {}
    return found


def said(settings: Mapping[str, str]) -> str:
    """Return settings as text: `batch 500, connections 8`."""
    names = (name.removeprefix("PEER_").lower() for name in settings)
    return ", ".join(
        f"{name} {value}" for name, value in zip(names, settings.values(), strict=True)
    )


def present(peers: "tuple[Peer, ...]", skipped: dict[str, str]) -> list[System]:
    """Return the contenders that can run; record the reason for each other one."""
    systems = []
    for peer in peers:
        try:
            systems.append(peer.system())
        except Absent as error:
            skipped[peer.name] = str(error)
    return systems


def _drain(peer: Peer, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench", "template1")
    peer_run(peer.program, "install", peer.kind, DATABASE_URL=url)
    peer_run(peer.program, "fill", peer.kind, str(jobs), DATABASE_URL=url)
    with ExitStack() as stack:
        started = [
            stack.enter_context(peer_worker(peer.program, peer.kind, url, **peer.settings))
            for _ in range(peer.workers)
        ]
        begun = time.perf_counter()
        for worker in started:
            go(worker)
        asyncio.run(until_false(url, UNFINISHED[peer.program], 0.05))
        took = time.perf_counter() - begun
    if peer.kind in ("one", "four"):
        wrong = one_value(url, ledger.WRONG, jobs)
        if wrong is not None:
            raise RuntimeError(f"{peer.program}'s ledger is wrong: {wrong}")
    return took
