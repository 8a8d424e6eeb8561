"""The tables of docs/performance.md, generated from results/*.json.

python -m benchmarks.report           print them
python -m benchmarks.report --write   write them between their marks
python -m benchmarks.report --check   fail if a document differs
"""

import argparse
import re
import sys
from collections.abc import Callable

from benchmarks.ahead import ahead
from benchmarks.contest_tables import contest, skipped
from benchmarks.processes import ROOT
from benchmarks.results import RESULTS, figures_of, kept
from benchmarks.statement_tables import reconcile, statements

DOCUMENTS = (ROOT / "docs/performance.md",)
MARKED = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- bench: end -->)", re.DOTALL)
TIMES_SLOWER_MAX = 1.3
IMAGES = ROOT / "docs/images"
PICTURES = {
    "worker": (
        ("Jobs a second beside peers", "bench-throughput.png"),
        ("All payments on one account, or on 1,000", "bench-hot-account.png"),
    ),
    "create": (("Requests a second beside peers", "bench-create.png"),),
    "latency": (("How soon", "bench-latency.png"),),
    "growth": (("Times slower", "bench-growth.png"),),
    "snapshot": (("Throughput over time", "bench-snapshot.png"),),
    "bloat": (("Sizes over jobs", "bench-bloat.png"),),
}


def worker() -> list[str]:
    """Return the table of the worker part, in jobs per second."""
    return contest("worker", "over a backlog")


def create() -> list[str]:
    """Return the table of the create part, in requests per second."""
    return contest("create", "over HTTP, 32 connections")


def batch() -> list[str]:
    """Return the table of the batch part."""
    figures = figures_of("batch")
    (measured,) = figures["contenders"].values()
    return [
        f"{measured['per_second']['median']:,.0f} payments a second through one process, in batches"
        f" of {figures['items']:,} over {figures['connections']} connections; that process then"
        f" takes {measured['megabytes']['high']:,.0f} MB at the most."
    ]


def latency() -> list[str]:
    """Return the table of the latency part, in percentiles."""
    figures = figures_of("latency")
    lines = ["| | p50 | p90 | p99 |", "| --- | --- | --- | --- |"]
    for name, measured in figures["contenders"].items():
        cells = (f"{measured[p]:.1f} ms" for p in ("p50", "p90", "p99"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, *skipped(figures)]


def overload() -> list[str]:
    """Return the remaining share of the best rate, and the answers that an observer received."""
    figures = figures_of("overload")
    accepted, refused = figures["accepted_milliseconds"], figures["refused_milliseconds"]
    lines = [
        "| highest rate of creations | offered | created during the overload"
        " | share of the highest |",
        "| --- | --- | --- | --- |",
        f"| {figures['best_created_per_second']:,.0f}/s | {figures['offered_per_second']:,.0f}/s,"
        f" {figures['offered_to_best']:.2f} times as much"
        f" | {figures['created_per_second']:,.0f}/s | {figures['share_of_best']:.2f} |",
        "",
        f"Refused: {figures['refused']:,} with 503, {figures['refused_with_retry_after']:,} of them"
        f" with Retry-After; any other answer: {figures['other']}, broken connections:"
        f" {figures['socket_errors']}.",
    ]
    observer = "A single other client"
    for answer, waited in (("a 201", accepted), ("a 503", refused)):
        if "p50" in waited:
            lines[-1] += (
                f" {observer} waits {waited['p50']:.0f} ms for {answer}"
                f" (p99 {waited['p99']:.0f} ms)."
            )
            observer = "It"
    after = figures["after_it"]
    lines[-1] += (
        f" From half a second after the overload, {after['created']} of its {after['answers']}"
        " requests create a payment. A rejection takes"
        f" {figures['cpu_microseconds_of_a_refusal']:.0f} microseconds of the API's processor time,"
        f" a creation {figures['cpu_microseconds_of_a_creation']}. The API's memory grew by"
        f" {figures['memory_grew_megabytes']:.0f} MB during the run."
    )
    return lines


def idle() -> list[str]:
    """Return the cost of idle processes."""
    figures = figures_of("idle")
    percent = figures["core_percent"]
    return [
        f"API {percent['api']:.2f} % and worker {percent['worker']:.2f} % of one core, together"
        f" {percent['together']:.2f} %; {figures['statements_per_second']:.2f} SQL statements"
        " a second."
    ]


def memory() -> list[str]:
    """Return the peak memory of each service."""
    figures = figures_of("memory")
    lines = ["| service | single payments | batches of 1,000 too |", "| --- | --- | --- |"]
    for name, megabytes in figures["megabytes"].items():
        more = figures["megabytes_with_batches"][name]
        lines.append(f"| {name} | {megabytes:,.0f} MB | {more:,.0f} MB |")
    return lines


def growth() -> list[str]:
    """Return the small and the grown database side by side."""
    figures = figures_of("growth")
    small, grown = (f"{figures['payments'][size]:,}" for size in ("small", "grown"))
    lines = [
        f"| | at {small} payments | at {grown} | unit | times slower |",
        "| --- | --- | --- | --- | --- |",
    ]
    beyond = []
    for name, measured in figures["operations"].items():
        first, second = (measured["contenders"][size]["value"]["median"] for size in (small, grown))
        slower = measured["times_slower"]
        lines.append(
            f"| {name} | {first:,.0f} | {second:,.0f} | {measured['unit']} | {slower:.2f} |"
        )
        if slower > TIMES_SLOWER_MAX:
            beyond.append(name)
    said = f"More than {TIMES_SLOWER_MAX} times slower: {', '.join(beyond) or 'none'}."
    return [*lines, "", said]


def snapshot() -> list[str]:
    """Return the cost of a held snapshot."""
    figures = figures_of("snapshot")
    lines = ["| the snapshot | jobs/s |", "| --- | --- |"]
    lines += [f"| {when} | {rate:,.0f} |" for when, rate in figures["per_second"].items()]
    minutes = (figures["held_to_seconds"] - figures["held_from_seconds"]) / 60
    share = figures["kept_of_throughput"] or 0
    return [
        *lines,
        "",
        f"Held for {minutes:.0f} minutes, it reduces the throughput to {share:.2f}.",
    ]


def bloat() -> list[str]:
    """Return the sizes of hot tables and indexes, and their growth in the second half."""
    figures = figures_of("bloat")
    half = figures["jobs"] / 2
    lines = [
        f"| over {figures['jobs']:,} jobs | at the most | at the end | second half to first |",
        "| --- | --- | --- | --- |",
    ]
    for name, most in figures["megabytes_at_most"].items():
        end = figures["megabytes_at_the_end"][name]
        first = max(at[name] for at in figures["over_jobs"] if at["jobs"] <= half)
        second = max(at[name] for at in figures["over_jobs"] if at["jobs"] > half)
        times = f"{second / first:.2f}" if first else ""
        lines.append(f"| `{name}` | {most:,.1f} MB | {end:,.1f} MB | {times} |")
    return lines


def webhooks() -> list[str]:
    """Return the rate of deliveries, their delay, and what the sender takes."""
    figures = figures_of("webhooks")
    delay = figures["delay_seconds"]
    return [
        f"{figures['deliveries_per_second']:,.0f} deliveries a second to {figures['endpoints']}"
        f" endpoints beside {figures['payments_per_second']} payments a second: from settlement to"
        f" arrival {delay['p50']:.2f} s (p50), {delay['p90']:.2f} s (p90), {delay['p99']:.2f} s"
        f" (p99). The sender takes {figures['sender_mebibytes']:.0f} MiB at the most, and"
        f" {1e3 * figures['sender_processor_seconds'] / figures['deliveries']:.2f} ms of processor"
        " time for a delivery."
    ]


def measured_on() -> list[str]:
    """Return the machine and versions of each part's last run."""
    lines = ["| part | measured | commit | on |", "| --- | --- | --- | --- |"]
    for path in sorted(RESULTS.glob("*.json")):
        about = kept(path.stem)["about"]
        machine = about.get("machine", {})
        where = f"{machine.get('cores', about.get('cores'))} cores"
        if machine:
            where = f"{machine['processor']}, {where}, {machine['memory_gigabytes']} GB"
        day = about["measured_at"][:10]
        lines.append(f"| {path.stem} | {day} | {about.get('commit', '')} | {where} |")
    return lines


def flamegraphs() -> list[str]:
    """Return links to the recorded flame graphs."""
    links = [
        f"[{service}](images/flamegraph-{service}.svg)"
        for service in ("payments-api", "recon-worker")
        if (IMAGES / f"flamegraph-{service}.svg").exists()
    ]
    return [f"Recorded by `make flamegraph` at full load: {', '.join(links) or 'none yet'}."]


TABLES: dict[str, Callable[[], list[str]]] = {
    "worker": worker,
    "create": create,
    "ahead": ahead,
    "batch": batch,
    "latency": latency,
    "overload": overload,
    "idle": idle,
    "memory": memory,
    "growth": growth,
    "snapshot": snapshot,
    "bloat": bloat,
    "statements": statements,
    "reconcile": reconcile,
    "webhooks": webhooks,
    "flamegraphs": flamegraphs,
    "measured_on": measured_on,
}


def written(text: str) -> str:
    """Return a document with the parts between its marks regenerated."""
    return MARKED.sub(lambda mark: f"{mark[1]}{generated(mark[2])}\n{mark[3]}", text)


def generated(name: str) -> str:
    """Return a part's pictures and table, or a note that it was not measured yet."""
    try:
        return "\n".join([*pictures(name), *TABLES[name]()])
    except FileNotFoundError:
        return f"Not measured yet: `make bench ARGS={name}`."


def pictures(name: str) -> list[str]:
    """Return the links to a part's pictures in docs/performance.md."""
    there = [(title, image) for title, image in PICTURES.get(name, ()) if (IMAGES / image).exists()]
    return [line for title, image in there for line in (f"![{title}](images/{image})", "")]


def main() -> None:
    """Print, write or check the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    for document in DOCUMENTS:
        text = document.read_text()
        if arguments.write:
            document.write_text(written(text))
        elif written(text) != text:
            stale.append(document.name)
    if arguments.check and stale:
        sys.exit(f"error: {', '.join(stale)} not of the kept figures: run make bench-report")
    if not arguments.write and not arguments.check:
        print("\n\n".join(f"## {name}\n{generated(name)}" for name in TABLES))


if __name__ == "__main__":
    main()
