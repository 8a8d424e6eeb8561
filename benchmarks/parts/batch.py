"""POST /payments/batch with 1,000 items: payments stored per second, and the API's memory."""

from collections.abc import Mapping
from functools import partial

from benchmarks.contest import Contender, Contest, Figures
from benchmarks.databases import audit, durable_postgres, fresh_database, one_value
from benchmarks.effort import Effort
from benchmarks.load import BATCH, requests_per_second
from benchmarks.processes import Absent, PeakMemory, api_process

ITEMS = 1_000
CONNECTIONS = 2


def measure(effort: Effort) -> Figures:
    """Return payments per second, and peak megabytes."""
    contest = Contest("payments/s")
    with durable_postgres() as server:
        sample = partial(_sample, server.url, effort.seconds)
        try:
            contest.run([Contender("payments-api, 1 process", sample)], effort.repeats)
        except Absent as error:
            contest.skipped["payments-api, 1 process"] = str(error)
    return {"items": ITEMS, "connections": CONNECTIONS, **contest.figures()}


def _sample(server_url: str, seconds: float) -> Mapping[str, float]:
    url = fresh_database(server_url, "bench")
    with api_process(url) as (address, process), PeakMemory(api=process.pid) as memory:
        measured = requests_per_second(
            [f"{address}/payments/batch"], seconds, connections=CONNECTIONS, script=BATCH
        )
    stored = one_value(url, "SELECT count(*) FROM payments")
    # wrk does not read answers: every item could have been rejected.
    if not isinstance(stored, int) or stored < measured["per_second"] * ITEMS:
        raise RuntimeError(f"only {stored} payments were stored")
    audit(url)
    return {
        "per_second": measured["per_second"] * ITEMS,
        "p99_milliseconds": measured["p99_milliseconds"],
        "megabytes": memory.megabytes["api"],
    }
