"""Find the peers' best settings: try a handful for each, in turns, on short backlogs.

All are tried once; the best few of each then take turns again, and the median decides. The worker
part uses the result for the peers' programs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import durable_postgres
from benchmarks.effort import Effort
from benchmarks.parts.create import SERVERS, Server
from benchmarks.processes import Absent
from benchmarks.queues import PEERS, Peer, said

SECONDS_MAX = 1.5  # Of one sample.
FINALISTS = 2
FINAL_TURNS = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """One peer with one kind of work, and the settings to try, the guess first."""

    program: str
    kind: str
    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    def contestants(self) -> Iterator[Peer | Server]:
        """Return the peer with each of the settings: two workers, or one process of a server."""
        peer: Peer | Server
        if self.kind == "create":
            peer = next(server for server in SERVERS if server.program == self.program)
        else:
            of_all = (p for p in PEERS if (p.program, p.kind) == (self.program, self.kind))
            peer = max(of_all, key=lambda peer: peer.workers)
        for values in self.values:
            pairs = zip(self.names, values, strict=True)
            settings = {f"PEER_{name}": str(value) for name, value in pairs}
            yield replace(peer, name=f"{peer.name}: {said(settings)}", settings=settings)


# PgQueuer: jobs per dequeue, also the number logged as done together; and the pool for the jobs'
# own work. Its other limits make each dequeue do more.
# procrastinate fetches single jobs: its concurrency and connections.
# graphile-worker: concurrency, local queue, and for how many milliseconds it gathers completions
# (-1: it completes each separately).
# pg-boss: concurrent fetches, and jobs per fetch.
# The servers: the connections of their pool.
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
    Trial("fastify.js", "create", ("CONNECTIONS",), ((10,), (5,), (20,))),
    Trial("fastapi_create", "create", ("CONNECTIONS",), ((10,), (5,), (20,))),
)


def measure(effort: Effort) -> Figures:
    """Return every trial with its samples, and the best settings of each peer and kind."""
    contest = Contest("jobs/s, requests/s")
    settings: dict[str, dict[str, Mapping[str, str]]] = {}
    contenders: dict[str, Contender] = {}
    with durable_postgres() as server:
        for trial in TRIALS:
            for peer in trial.contestants():
                try:
                    contender = peer.contender(server.url, min(SECONDS_MAX, effort.seconds))
                except Absent as error:
                    contest.skipped[peer.name] = str(error)
                else:
                    of_trial = settings.setdefault(f"{trial.program} {trial.kind}", {})
                    of_trial[peer.name] = peer.settings
                    contenders[peer.name] = contender
        contest.run(list(contenders.values()), 1)
        best_first = [ranked(contest, tried) for tried in settings.values()]
        finalists = [contenders[name] for names in best_first for name in names[:FINALISTS]]
        contest.run(finalists, FINAL_TURNS)
    return {
        **contest.figures(),
        "best": {what: dict(tried[winner(contest, tried)]) for what, tried in settings.items()},
    }


def ranked(contest: Contest, tried: Iterable[str]) -> list[str]:
    """Return the names, best median first."""
    return sorted(tried, key=contest.median, reverse=True)


def winner(contest: Contest, tried: Iterable[str]) -> str:
    """Return the best median among those measured most often."""
    names = ranked(contest, tried)
    most = max(len(contest.samples[name]) for name in names)
    return next(name for name in names if len(contest.samples[name]) == most)
