"""Plot a soak's samples: python paint.py soak.json soak.png. Needs matplotlib alone."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Title, unit, prefixes of the names of the lines to show.
PANELS = (
    ("Accepted", "payments/s", ("accepted_per_second",)),
    ("Queue", "jobs", ("queue_depth",)),
    ("From request to answer", "ms", ("answered_milliseconds",)),
    ("From stored to settled", "ms", ("settled_milliseconds",)),
    ("Processor time of a payment", "µs", ("processor_microseconds",)),
    ("Memory: services resident, Postgres private", "MB", ("memory_megabytes",)),
    ("Connections to Postgres, open files", "", ("connections", "open_files")),
    (
        "Tables that must not grow",
        "MB",
        ("table_megabytes", "index_megabytes", "megabytes of other tables"),
    ),
    ("For each stored payment", "bytes", ("table_bytes", "index_bytes")),
    ("Empty or dead part of tables", "share", ("free_share",)),
    ("How full indexes' leaves are", "share", ("leaf_density",)),
    ("Dead rows not yet swept", "share", ("dead_share",)),
)
COLUMNS = 2
WARM_UP_SHARE = 0.25  # The same as in trends.py; this file runs without our packages.


def paint(axes: Axes, panel: tuple[str, str, tuple[str, ...]], figures: Any) -> None:
    """Draw one panel: its lines over the minutes, with the unjudged warm-up in grey."""
    title, unit, starts = panel
    samples = figures["samples"]
    names = sorted({n for sample in samples for n in sample if n.startswith(starts)})
    for name in names:
        points = [(s["seconds"] / 60, s[name]) for s in samples if name in s]
        style = "--" if name.startswith(("index", "open_files")) else "-"
        mark = "." if len(points) < 60 else ""
        axes.plot(*zip(*points, strict=True), style, marker=mark, label=label(name), linewidth=1.3)
    end = samples[-1]["seconds"]
    warm = max(figures["warm_up_seconds"], WARM_UP_SHARE * end)
    axes.axvspan(0, min(warm, end) / 60, color="0.5", alpha=0.12, linewidth=0)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, end / 60)
    axes.grid(visible=True, alpha=0.25)
    if len(names) > 1:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def label(name: str) -> str:
    """Return a line's name in the legend: its kind is the panel's title."""
    kind, _, what = name.partition(" ")
    if kind.startswith("index"):
        return f"{what}, indexes"
    if kind == "open_files":
        return f"{what}, files"
    return what.removeprefix("of ") or kind


def main() -> None:
    """Run the command line."""
    source, target = map(Path, sys.argv[1:])
    figures = json.loads(source.read_text())["figures"]
    rows = -(-len(PANELS) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(14, 2.3 * rows), layout="constrained")
    for axes in grid.flat[len(PANELS) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, PANELS, strict=False):
        paint(axes, panel, figures)
    for axes in grid.flat[len(PANELS) - COLUMNS : len(PANELS)]:
        axes.set_xlabel("minutes")
    share = figures["rate_per_second"] / figures["capacity_per_second"]
    figure.suptitle(
        f"{figures['payments']:,} payments at {figures['rate_per_second']:.0f}/s"
        f" ({share:.0%} of capacity) for {figures['minutes']:g} minutes; the warm-up is grey"
    )
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main()
