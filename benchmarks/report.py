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
from benchmarks.contest import Figures
from benchmarks.processes import ROOT
from benchmarks.results import RESULTS, figures_of, kept

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


def contest(part: str, first_column: str) -> list[str]:
    """Return a line for each contender: median, spread and further figures."""
    figures = figures_of(part)
    contenders = figures["contenders"]
    latency = any("p99_milliseconds" in figure for figure in contenders.values())
    lines = [
        f"| {first_column} | {figures['unit']} | lowest to highest |{' p99 ms |' * latency}",
        f"| --- | --- | --- |{' --- |' * latency}",
    ]
    for name, measured in contenders.items():
        rate = measured["per_second"]
        line = f"| {name} | {rate['median']:,.0f} | {rate['low']:,.0f} to {rate['high']:,.0f} |"
        p99 = measured.get("p99_milliseconds", {}).get("median")
        lines.append(line + (f" {p99:,.1f} |" if p99 else " |" * latency))
    return [*lines, *ratios(figures), *settings(figures), *skipped(figures)]


def ratios(figures: Figures) -> list[str]:
    """Return the ratios of medians as a sentence."""
    known = {name: ratio for name, ratio in figures.get("ratios", {}).items() if ratio}
    if not known:
        return []
    return ["", "Ratios: " + "; ".join(f"{name} {known[name]:.2f}" for name in known) + "."]


def settings(figures: Figures) -> list[str]:
    """Return the peers' settings that the tune part found."""
    given = figures.get("settings", {})
    if not given:
        return []
    return ["", "Settings found by trying: " + "; ".join(f"{p} ({given[p]})" for p in given) + "."]


def skipped(figures: Figures) -> list[str]:
    """Return the contenders that were not measured, with reasons."""
    absent = figures.get("skipped", {})
    return [f"\nNot measured: {name} ({why})." for name, why in absent.items()]


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
        f" {percent['together']:.2f} %; {figures['statements_per_second']:.2f} statements a second."
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
