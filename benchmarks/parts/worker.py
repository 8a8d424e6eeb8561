"""Jobs completed per second by real worker processes on a prepared backlog.

In one contest every third job of ours is of a reversal.

A backlog lasts about `seconds`: its size follows the contender's rate in the turn before. Our
ledger is audited in full after every sample; the ledgers of limits and peers are checked too.
"""

import asyncio
from dataclasses import replace
from functools import partial

from benchmarks.backlog import settle_backlog
from benchmarks.contest import Contest, Figures
from benchmarks.databases import audit, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.peers.bare_sql import PLAIN, Bare, drain
from benchmarks.peers.bare_sql_tuned import TUNED
from benchmarks.queues import PEERS, System, best_settings, present, said

SPREAD = 1_000  # Accounts.
HOT = 1


def measure(effort: Effort) -> Figures:
    """Measure ours with spread and hot accounts and reversals, bare SQL, and peers."""
    contest = Contest("jobs/s")
    peers = tuple(replace(p, settings=best_settings(p.program, p.kind)) for p in PEERS)
    with durable_postgres() as server:
        systems = [*_ours(), *_bare(), *present(peers, contest.skipped)]
        contenders = [system.contender(server.url, effort.seconds) for system in systems]
        contest.run(contenders, effort.repeats)
    return {
        **contest.figures(),
        "settings": {peer.name: said(peer.settings) for peer in peers if peer.settings},
        "ratios": ratios(contest),
    }


def ratios(contest: Contest) -> dict[str, float | None]:
    """Return ratios of medians: to limits and peers, of a hot account, of reversals."""
    one, two = "ours, 1 worker", "ours, 2 workers"
    return {
        "ours to bare SQL, 1": contest.ratio(one, "bare SQL, 1 connection"),
        "ours to bare SQL, 2": contest.ratio(two, "bare SQL, 2 connections"),
        "ours to bare SQL tuned by us, 1": contest.ratio(one, "bare SQL tuned by us, 1 connection"),
        "ours to bare SQL tuned by us, 2": contest.ratio(
            two, "bare SQL tuned by us, 2 connections"
        ),
        "ours, 2 workers, to PgQueuer's no-op, 2 workers": contest.ratio(
            two, "PgQueuer, 2 workers, no-op"
        ),
        "ours to PgQueuer's best ledger": _to_best(contest, "PgQueuer", "ledger"),
        "ours to procrastinate's best ledger": _to_best(contest, "procrastinate", "ledger"),
        "ours to the fastest peer's no-op": _to_best(contest, "", "no-op"),
        "hot to spread, 2 workers": contest.ratio(f"{two}, hot account", two),
        "every third a reversal to payments alone, 2 workers": contest.ratio(
            f"{two}, every third a reversal", two
        ),
    }


def _to_best(contest: Contest, peer: str, work: str) -> float | None:
    best = max(
        (
            contest.median(name)
            for name in contest.samples
            if name.startswith(peer) and work in name
        ),
        default=None,
    )
    return contest.median("ours, 2 workers") / best if best else None


def _ours() -> list[System]:
    return [
        System(name, partial(_drain_ours, workers, accounts, reversals), guess)
        for name, workers, accounts, reversals, guess in (
            ("ours, 1 worker", 1, SPREAD, False, 8_000),
            ("ours, 2 workers", 2, SPREAD, False, 13_000),
            ("ours, 2 workers, hot account", 2, HOT, False, 15_000),
            ("ours, 2 workers, every third a reversal", 2, SPREAD, True, 12_000),
        )
    ]


def _drain_ours(workers: int, accounts: int, reversals: bool, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench")
    took = settle_backlog(url, workers, jobs, accounts, reversals=reversals)
    audit(url)
    return took


def _bare() -> list[System]:
    return [
        System(name, partial(_drain_bare, bare, connections), guess)
        for name, bare, connections, guess in (
            ("bare SQL, 1 connection", PLAIN, 1, 12_000),
            ("bare SQL, 2 connections", PLAIN, 2, 23_000),
            ("bare SQL tuned by us, 1 connection", TUNED, 1, 30_000),
            ("bare SQL tuned by us, 2 connections", TUNED, 2, 48_000),
        )
    ]


def _drain_bare(bare: Bare, connections: int, server_url: str, jobs: int) -> float:
    url = fresh_database(server_url, "bench", "template1")
    return asyncio.run(drain(bare, url, jobs, SPREAD, connections))
