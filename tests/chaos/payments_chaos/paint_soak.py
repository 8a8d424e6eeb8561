"""Paint a soak's samples: python paint_soak.py soak.json soak.png. Needs matplotlib alone."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Title, unit, beginnings of the names of the lines that are shown.
PANELS = (
    ("Accepted", "payments/s", ("accepted_per_second",)),
    ("From request to answer", "ms", ("answered_milliseconds",)),
    ("From stored to settled", "ms", ("settled_milliseconds",)),
    ("Queue", "jobs", ("queue_depth",)),
    ("Memory of each service", "MB", ("memory_megabytes",)),
    ("Connections", "", ("connections",)),
    ("Tables, with indexes", "MB", ("table_megabytes", "index_megabytes")),
    ("Dead rows", "share", ("dead_share",)),
)
COLUMNS = 2


def paint(axes: Axes, panel: tuple[str, str, tuple[str, ...]], samples: Any) -> None:
    """One panel: its lines over the minutes."""
    title, unit, starts = panel
    names = sorted({n for sample in samples for n in sample if n.startswith(starts)})
    for name in names:
        points = [(s["seconds"] / 60, s[name]) for s in samples if name in s]
        label = name.partition(" ")[2]
        label += " indexes" if name.startswith("index") else ""
        style = "--" if name.startswith("index") else "-"
        axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1.3)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.25)
    if len(names) > 1:
        axes.legend(fontsize=7, ncols=2)


def main() -> None:
    """The command line's way in."""
    source, target = map(Path, sys.argv[1:])
    figures = json.loads(source.read_text())["figures"]
    rows = -(-len(PANELS) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 2.6 * rows), layout="constrained")
    for axes, panel in zip(grid.flat, PANELS, strict=True):
        paint(axes, panel, figures["samples"])
    for axes in grid[-1]:
        axes.set_xlabel("minutes")
    figure.suptitle(
        f"{figures['payments']:,} payments at {figures['rate_per_second']:.0f}/s"
        f" for {figures['minutes']:g} minutes"
    )
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main()
