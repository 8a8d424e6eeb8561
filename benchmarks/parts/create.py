"""Payments created per second over HTTP, beside routes that do nothing and beside peers.

One do-nothing route is part of the API, behind all its middleware; the other is a bare Quart app,
the limit that Quart and the server set. The peers store the same payment and job with the same
statement in our tables. Each sample has fresh processes and a fresh database, which the auditor
checks in full.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import audit, durable_postgres, fresh_database
from benchmarks.effort import Effort
from benchmarks.load import CREATE, requests_per_second
from benchmarks.processes import Absent, peer_command, process, running_api
from benchmarks.queues import best_settings, said
from payments_local.ports import free_port

CONNECTIONS = 32
WARM_SECONDS = 1.0
CORES = 2  # Of the machine that the figures come from: "a process for each core".


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: ours if `program` is None, else a peer or the bare app."""

    name: str
    processes: int = 1
    program: str | None = None
    path: str = "/payments"
    settings: Mapping[str, str] = field(default_factory=dict)

    def contender(self, url: str, seconds: float) -> Contender:
        """Return the contender. Raises Absent without its dependencies."""
        _command(self)
        return Contender(self.name, partial(_sample, self, url, seconds))


SERVERS = (
    Server("bare Quart app, do-nothing route", program="do_nothing", path="/"),
    Server("payments-api, do-nothing route", path="/livez"),
    Server("payments-api, 1 process"),
    Server("payments-api, 2 processes", CORES),
    Server("Fastify + node-postgres, 1 process", program="fastify.js"),
    Server("Fastify + node-postgres, cluster of 2", CORES, "fastify.js"),
    Server("FastAPI + uvicorn + asyncpg, 1 process", program="fastapi_create"),
    Server("FastAPI + uvicorn + asyncpg, 2 processes", CORES, "fastapi_create"),
)


def measure(effort: Effort) -> Figures:
    """Return requests per second of all contenders, in turns, and ratios of medians."""
    contest = Contest("requests/s")
    servers = [replace(s, settings=best_settings(s.program or "", "create")) for s in SERVERS]
    with durable_postgres() as postgres:
        contenders = []
        for server in servers:
            try:
                contenders.append(server.contender(postgres.url, effort.seconds))
            except Absent as error:
                contest.skipped[server.name] = str(error)
        contest.run(contenders, effort.repeats)
    one, two = "payments-api, 1 process", "payments-api, 2 processes"
    return {
        "connections": CONNECTIONS,
        **contest.figures(),
        "settings": {s.name: said(s.settings) for s in servers if s.settings},
        "ratios": {
            "to its do-nothing route": contest.ratio(one, "payments-api, do-nothing route"),
            "to a bare Quart app": contest.ratio(one, "bare Quart app, do-nothing route"),
            "two processes to one": contest.ratio(two, one),
            "to Fastify, 1 process": contest.ratio(one, "Fastify + node-postgres, 1 process"),
            "to Fastify, 2 processes": contest.ratio(two, "Fastify + node-postgres, cluster of 2"),
            "to FastAPI, 1 process": contest.ratio(one, "FastAPI + uvicorn + asyncpg, 1 process"),
            "to FastAPI, 2 processes": contest.ratio(
                two, "FastAPI + uvicorn + asyncpg, 2 processes"
            ),
        },
    }


def _sample(server: Server, url: str, seconds: float) -> Mapping[str, float]:
    database = fresh_database(url, "bench")
    with _serving(server, database) as addresses:
        targets = [f"{address}{server.path}" for address in addresses]
        script = None if server.path == "/livez" else CREATE
        requests_per_second(
            targets, WARM_SECONDS, connections=CONNECTIONS, script=script, SET="warm"
        )
        measured = requests_per_second(targets, seconds, connections=CONNECTIONS, script=script)
    if server.path == "/payments":
        audit(database)
    return measured


@contextmanager
def _serving(server: Server, url: str) -> Iterator[list[str]]:
    """Run its processes; ours have an address each, as behind a load balancer."""
    with ExitStack() as stack:
        if server.program is None:
            yield [stack.enter_context(running_api(url)) for _ in range(server.processes)]
            return
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = [*_command(server), str(port), str(server.processes)]
        ready = f"{address}/readyz"
        running = process(command, ready=ready, DATABASE_URL=url, **server.settings)
        stack.enter_context(running)
        yield [address]


def _command(server: Server) -> list[str | Path]:
    if server.program is None:
        return []
    if server.program == "do_nothing":
        return [sys.executable, "-m", "benchmarks.peers.do_nothing"]
    return [*peer_command(server.program)]
