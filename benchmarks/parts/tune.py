"""Which settings are the peers' best: a handful for each, tried in turns over short backlogs.

All are tried once; the best few of each then take turns again, and the median decides. What is
found is what the worker part gives to the peers' programs from then on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import durable_postgres
from benchmarks.effort import Effort
from benchmarks.processes import Absent
from benchmarks.queues import PEERS, Peer, said

SECONDS_MAX = 1.5  # Of one sample.
FINALISTS = 2
FINAL_TURNS = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What one peer does with one kind of job, and the settings tried, the guess first."""

    program: str
    kind: str
    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    def contestants(self) -> Iterator[Peer]:
        """The same peer with each of the settings, two workers."""
        of_all = (p for p in PEERS if (p.program, p.kind) == (self.program, self.kind))
        peer = max(of_all, key=lambda peer: peer.workers)
        for values in self.values:
            pairs = zip(self.names, values, strict=True)
            settings = {f"PEER_{name}": str(value) for name, value in pairs}
            yield replace(peer, name=f"{peer.name}: {said(settings)}", settings=settings)


# PgQueuer: jobs a dequeue, which also is how many are logged as done at once; and the pool of the
# jobs' own work. Its other limits make each dequeue do more.
# procrastinate fetches job by job: how many at once, over how many connections.
# graphile-worker: jobs at once, its local queue, and for how many milliseconds it gathers
# completions (-1: it completes each by itself).
# pg-boss: fetches at once, and jobs a fetch.
TRIALS = (
    Trial("pgqueuer_jobs", "nothing", ("BATCH",), ((1000,), (100,), (500,), (3000,))),
    Trial(
        "pgqueuer_jobs",
        "one",
        ("BATCH", "CONNECTIONS"),
        ((1000, 8), (1000, 4), (1000, 16), (100, 8)),
    ),
    Trial(
        "pgqueuer_jobs",
        "four",
        ("BATCH", "CONNECTIONS"),
        ((1000, 8), (1000, 4), (1000, 16)),
    ),
    Trial(
        "procrastinate_jobs",
        "nothing",
        ("CONCURRENCY", "CONNECTIONS"),
        ((20, 10), (5, 5), (50, 10), (100, 20)),
    ),
    Trial(
        "procrastinate_jobs",
        "one",
        ("CONCURRENCY", "CONNECTIONS"),
        ((20, 10), (5, 5), (50, 20)),
    ),
    Trial(
        "procrastinate_jobs",
        "four",
        ("CONCURRENCY", "CONNECTIONS"),
        ((20, 10), (5, 5), (50, 20)),
    ),
    Trial(
        "graphile.js",
        "nothing",
        ("CONCURRENCY", "BATCH", "DELAY"),
        ((24, 500, 0), (10, 500, 0), (100, 500, 0), (24, 2000, 0), (24, 500, -1)),
    ),
    Trial(
        "pgboss.js",
        "nothing",
        ("CONCURRENCY", "BATCH"),
        ((2, 1000), (1, 1000), (4, 1000), (2, 4000)),
    ),
)


def measure(effort: Effort) -> Figures:
    """All that was tried with its samples, and the best settings of each peer and kind."""
    contest = Contest("jobs/s")
    seconds = min(SECONDS_MAX, effort.seconds)
    peers: dict[str, dict[str, Peer]] = {}
    contenders: dict[str, Contender] = {}
    with durable_postgres() as server:
        for trial in TRIALS:
            for peer in trial.contestants():
                try:
                    system = peer.system()
                except Absent as error:
                    contest.skipped[peer.name] = str(error)
                else:
                    peers.setdefault(f"{trial.program} {trial.kind}", {})[peer.name] = peer
                    sample = partial(system.sample, server.url, seconds)
                    contenders[peer.name] = Contender(peer.name, sample)
        contest.run(list(contenders.values()), 1)
        finalists = [
            name for tried in peers.values() for name in ranked(contest, tried)[:FINALISTS]
        ]
        contest.run([contenders[name] for name in finalists], FINAL_TURNS)
    best = {what: winner(contest, tried) for what, tried in peers.items()}
    return {
        **contest.figures(),
        "best": {what: dict(peers[what][name].settings) for what, name in best.items()},
    }


def ranked(contest: Contest, tried: Mapping[str, Peer]) -> list[str]:
    """The names, best median first."""
    return sorted(tried, key=contest.median, reverse=True)


def winner(contest: Contest, tried: Mapping[str, Peer]) -> str:
    """The best median of those that were measured more than once."""
    most = max(len(contest.samples[name]) for name in tried)
    return next(name for name in ranked(contest, tried) if len(contest.samples[name]) == most)
