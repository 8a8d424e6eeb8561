"""Jobs worked off per second, by real worker processes over a backlog that stands ready.

A backlog lasts about `seconds`: its size follows what the contender did the turn before. Ours is
audited in full after every sample, a peer's ledger is checked too.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.backlog import settle_backlog
from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import (
    audit,
    durable_postgres,
    fresh_database,
    one_value,
    until_false,
)
from benchmarks.effort import Effort
from benchmarks.peers import bare_sql, ledger
from benchmarks.processes import Absent, go, peer_command, peer_run, peer_worker

SPREAD = 1_000  # Accounts.
HOT = 1


@dataclass(slots=True)
class System:
    """One contender: `drain` settles a backlog of so many jobs and returns the seconds it took."""

    name: str
    drain: Callable[[str, int], float]
    jobs_per_second: float  # A first guess, then what was seen.

    def sample(self, url: str, seconds: float) -> dict[str, float]:
        """Jobs per second over a backlog of about so many seconds."""
        jobs = max(1000, int(self.jobs_per_second * seconds))
        self.jobs_per_second = jobs / self.drain(url, jobs)
        return {"per_second": self.jobs_per_second}


def measure(effort: Effort) -> Figures:
    """Ours spread and hot, bare SQL, and the peers with nothing to do and with the same ledger."""
    contest = Contest("jobs/s")
    with durable_postgres() as server:
        systems = [*_ours(), *_bare(), *_peers(contest.skipped)]
        contest.run(
            [
                Contender(system.name, partial(system.sample, server.url, effort.seconds))
                for system in systems
            ],
            effort.repeats,
        )
    return {
        **contest.figures(),
        "ratios": {
            "ours to bare SQL, 1": contest.ratio("ours, 1 worker", "bare SQL, 1 connection"),
            "ours to bare SQL, 2": contest.ratio("ours, 2 workers", "bare SQL, 2 connections"),
            "hot to spread, 1": contest.ratio("ours, 1 worker, hot account", "ours, 1 worker"),
            "hot to spread, 2": contest.ratio("ours, 2 workers, hot account", "ours, 2 workers"),
            "ours to the fastest peer's ledger": _to_best(contest, "ledger"),
            "ours to the fastest peer's no-op": _to_best(contest, "no-op"),
        },
    }


def _to_best(contest: Contest, work: str) -> float | None:
    best = max(
        (contest.median(name) for name in contest.samples if work in name),
        default=None,
    )
    return contest.median("ours, 2 workers") / best if best else None


# --- ours -----------------------------------------------------------------------------------------


def _ours() -> list[System]:
    return [
        System(name, partial(_drain_ours, workers, accounts), guess)
        for name, workers, accounts, guess in (
            ("ours, 1 worker", 1, SPREAD, 8_000),
            ("ours, 2 workers", 2, SPREAD, 13_000),
            ("ours, 1 worker, hot account", 1, HOT, 9_000),
            ("ours, 2 workers, hot account", 2, HOT, 15_000),
        )
    ]


def _drain_ours(workers: int, accounts: int, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench")
    took = settle_backlog(url, workers, jobs, accounts)
    audit(url)
    return took


# --- the limit ------------------------------------------------------------------------------------


def _bare() -> list[System]:
    return [
        System("bare SQL, 1 connection", partial(_drain_bare, 1), 30_000),
        System("bare SQL, 2 connections", partial(_drain_bare, 2), 48_000),
    ]


def _drain_bare(connections: int, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench", "template1")
    return asyncio.run(bare_sql.drain(url, jobs, SPREAD, connections))


# --- peers ----------------------------------------------------------------------------------------

UNFINISHED = {
    "pgqueuer_jobs": "SELECT EXISTS (SELECT FROM pgqueuer)",
    "procrastinate_jobs": "SELECT EXISTS (SELECT FROM procrastinate_jobs)",
    "graphile.js": "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
    "pgboss.js": """
        SELECT EXISTS (SELECT FROM pgboss.job WHERE name = 'job' AND state < 'completed')""",
}
PEERS = (
    ("PgQueuer, 1 worker, no-op", "pgqueuer_jobs", "nothing", 1, 10_000),
    ("PgQueuer, 2 workers, no-op", "pgqueuer_jobs", "nothing", 2, 15_000),
    ("PgQueuer, 2 workers, ledger, 4 statements", "pgqueuer_jobs", "four", 2, 1_500),
    ("PgQueuer, 2 workers, ledger, 1 statement", "pgqueuer_jobs", "one", 2, 2_500),
    ("procrastinate, 2 workers, no-op", "procrastinate_jobs", "nothing", 2, 700),
    ("procrastinate, 2 workers, ledger, 4 statements", "procrastinate_jobs", "four", 2, 500),
    ("procrastinate, 2 workers, ledger, 1 statement", "procrastinate_jobs", "one", 2, 600),
    ("graphile-worker, 1 worker, no-op", "graphile.js", "nothing", 1, 20_000),
    ("graphile-worker, 2 workers, no-op", "graphile.js", "nothing", 2, 30_000),
    ("pg-boss, 2 workers, no-op", "pgboss.js", "nothing", 2, 20_000),
)


def _peers(skipped: dict[str, str]) -> list[System]:
    """Those whose dependencies are here; the others are noted, with the reason."""
    systems = []
    for name, program, kind, workers, guess in PEERS:
        try:
            peer_command(program)
        except Absent as error:
            skipped[name] = str(error)
        else:
            drain = partial(_drain_peer, program, kind, workers)
            systems.append(System(name, drain, guess))
    return systems


def _drain_peer(program: str, kind: str, workers: int, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench", "template1")
    peer_run(program, "install", kind, DATABASE_URL=url)
    peer_run(program, "fill", kind, str(jobs), DATABASE_URL=url)
    with ExitStack() as stack:
        started = [stack.enter_context(peer_worker(program, kind, url)) for _ in range(workers)]
        begun = time.perf_counter()
        for worker in started:
            go(worker)
        asyncio.run(until_false(url, UNFINISHED[program], 0.05))
        took = time.perf_counter() - begun
    if kind in ("one", "four"):
        wrong = one_value(url, ledger.WRONG, jobs)
        if wrong is not None:
            raise RuntimeError(f"{program}'s ledger is wrong: {wrong}")
    return took
