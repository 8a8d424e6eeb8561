"""Plots of the last figures: docs/images/bench-*.png. Needs only matplotlib.

python -m benchmarks.plots         every plot whose figures exist
python -m benchmarks.plots --try   the same, into a temporary folder
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
OURS, LIMIT, SLOW, INK = "#1f6feb", "#d0d7de", "#cf222e", "#24292f"
GROUPS = {
    "ours": OURS,
    "limit": "#a5cdff",
    "peer, the same work": "#6e7781",
    "peer, jobs that do nothing": LIMIT,
}
SHADES = (OURS, "#8250df", "#bf8700", "#1a7f37", SLOW, "#57606a", "#0a3069")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LIMIT,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "svg.hashsalt": "bench",
}


SMOOTH = 7  # Samples before and after, two seconds each.


def figures_of(part: str) -> dict[str, Any]:
    """Return the last figures of a part."""
    found: dict[str, Any] = json.loads((RESULTS / f"{part}.json").read_text())["figures"]
    return found


def bars(axes: Axes, values: dict[str, tuple[float, float, float]], unit: str) -> None:
    """Draw a bar for each name: the median, a whisker from lowest to highest, and the figure."""
    groups = [group_of(name) for name in values]
    medians = [median for median, _, _ in values.values()]
    spread = [
        [median - low for median, low, _ in values.values()],
        [high - median for median, _, high in values.values()],
    ]
    places = range(len(values))
    axes.barh(places, medians, color=[GROUPS[group] for group in groups], height=0.68)
    axes.errorbar(medians, places, xerr=spread, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
    for place, (median, _, high) in enumerate(values.values()):
        axes.annotate(
            f"{median:,.0f}", (high, place), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(places, list(values))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines["left"].set_visible(False)
    if len(set(groups)) > 1:
        named = [Patch(color=GROUPS[group], label=group) for group in dict.fromkeys(groups)]
        below = -0.45 / axes.figure.get_figheight() - 0.08
        axes.legend(
            handles=named, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.3, below)
        )


def group_of(name: str) -> str:
    """Return the colour group of a bar: only bars that do the same work share one."""
    if "bare" in name or "do-nothing" in name:
        return "limit"
    if name.startswith(("ours", "payments-api")):
        return "ours"
    return "peer, jobs that do nothing" if "no-op" in name else "peer, the same work"


def contest(part: str, names: Callable[[str], bool], title: str, unit: str) -> plt.Figure:
    """Draw the bars of the chosen contenders."""
    values = {
        name: tuple(measured["per_second"][key] for key in ("median", "low", "high"))
        for name, measured in figures_of(part)["contenders"].items()
        if names(name)
    }
    figure, axes = plt.subplots(figsize=(8.6, 0.9 + 0.36 * len(values)))
    bars(axes, values, unit)
    axes.set_title(title)
    return figure


def throughput() -> plt.Figure:
    """Draw ours beside peers with the same ledger, peers with no-op jobs, and the limit."""
    return contest(
        "worker",
        lambda name: "hot" not in name,
        "Jobs worked off; only no-op jobs keep no ledger",
        "jobs a second; whisker: lowest and highest run",
    )


def hot_account() -> plt.Figure:
    """Draw throughput with all payments on one account, beside a thousand accounts."""
    return contest(
        "worker",
        lambda name: name.startswith("ours, 2 workers"),
        "All payments on one hot account, or on 1,000",
        "payments settled a second; whisker: lowest and highest run",
    )


def create() -> plt.Figure:
    """Draw ours beside do-nothing routes and peers."""
    return contest(
        "create",
        lambda name: True,
        "POST /payments, 32 connections",
        "requests a second; whisker: lowest and highest run",
    )


def latency() -> plt.Figure:
    """Draw the share of payments completed within each time."""
    contenders = figures_of("latency")["contenders"]
    figure, axes = plt.subplots(figsize=(8.6, 4))
    for colour, (name, measured) in zip(SHADES, contenders.items(), strict=False):
        cuts = measured["percentiles"]
        label = f"{name}: p50 {measured['p50']:.1f}, p99 {measured['p99']:.1f} ms"
        dashes = "-" if name.startswith("ours") else "--"
        axes.plot(cuts, range(1, 100), dashes, color=colour, linewidth=2, label=label)
    axes.set_xscale("log")
    # All values may lie between two powers of ten.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("How soon, at 50 a second with idle workers")
    axes.set_xlabel("milliseconds, logarithmic")
    axes.set_ylabel("percent done")
    axes.set_ylim(0, 100)
    axes.grid(color=LIMIT, linewidth=0.6)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=1)
    return figure


def growth() -> plt.Figure:
    """Draw how many times slower each operation is on the grown database."""
    figures = figures_of("growth")
    values = {name: measured["times_slower"] for name, measured in figures["operations"].items()}
    figure, axes = plt.subplots(figsize=(8.6, 0.9 + 0.36 * len(values)))
    colours = [SLOW if value > 1.3 else OURS for value in values.values()]
    axes.barh(range(len(values)), list(values.values()), color=colours, height=0.68)
    for place, value in enumerate(values.values()):
        axes.annotate(
            f"{value:.2f}", (value, place), xytext=(-6, 0), textcoords="offset points",
            ha="right", va="center", color="white",
        )  # fmt: skip
    for at, label, side in ((1.0, "as quick ", "right"), (1.3, " aim: 1.3", "left")):
        axes.axvline(at, color=INK, linewidth=0.9, linestyle=":" if at > 1 else "-", zorder=0)
        axes.annotate(label, (at, -0.75), ha=side, va="bottom", fontsize=8, annotation_clip=False)
    axes.set_yticks(range(len(values)), list(values))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    payments = figures["payments"]
    axes.set_title(f"{payments['grown']:,} payments beside {payments['small']:,}", pad=22)
    axes.set_xlabel("times slower")
    axes.spines["left"].set_visible(False)
    return figure


def snapshot() -> plt.Figure:
    """Draw throughput over time around a held snapshot."""
    figures = figures_of("snapshot")
    minutes = [at["seconds"] / 60 for at in figures["over_time"]]
    figure, axes = plt.subplots(figsize=(8.6, 3.6))
    held = [figures[f"held_{end}_seconds"] / 60 for end in ("from", "to")]
    axes.axvspan(*held, color="#ddf4ff")
    rates = [at["per_second"] for at in figures["over_time"]]
    near = [rates[max(0, at - SMOOTH) : at + SMOOTH + 1] for at in range(len(rates))]
    smooth = [statistics.median(of) for of in near]
    axes.plot(minutes, rates, color=OURS, linewidth=0.8, alpha=0.35, label="each look")
    axes.plot(minutes, smooth, color=OURS, linewidth=2, label=f"median of {2 * SMOOTH + 1} looks")
    axes.set_ylim(bottom=0)
    axes.annotate(
        "snapshot held", (held[0], 0), xycoords=("data", "axes fraction"), xytext=(6, 8),
        textcoords="offset points",
    )  # fmt: skip
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    kept = figures["kept_of_throughput"] or 0
    axes.set_title(f"Two workers while a snapshot is held open: {kept:.2f} of the throughput stays")
    axes.set_xlabel("minutes")
    axes.set_ylabel("payments settled a second")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def bloat() -> plt.Figure:
    """Draw the sizes of hot tables and indexes over the number of jobs."""
    over = figures_of("bloat")["over_jobs"]
    figure, axes = plt.subplots(figsize=(8.6, 4))
    relations = [name for name in over[0] if name != "jobs"]
    relations.sort(key=lambda name: -over[-1][name])
    thousands = [at["jobs"] / 1000 for at in over]
    for colour, name in zip(SHADES, relations, strict=False):
        label = f"{name}: {over[-1][name]:,.1f} MB"
        axes.plot(thousands, [at[name] for at in over], color=colour, linewidth=1.6, label=label)
    axes.set_title("Hot tables and indexes, finished jobs pruned")
    axes.set_xlabel("thousand jobs worked off")
    axes.set_ylabel("megabytes")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


PLOTS = {
    "throughput": throughput,
    "hot-account": hot_account,
    "create": create,
    "latency": latency,
    "growth": growth,
    "snapshot": snapshot,
    "bloat": bloat,
}


def draw(folder: Path) -> None:
    """Draw every plot whose figures exist."""
    with plt.rc_context(STYLE):
        for name, plot in PLOTS.items():
            try:
                figure = plot()
            except (FileNotFoundError, KeyError):  # Not measured yet, or only in part.
                print(f"bench-{name}.png: no figures")
                continue
            figure.savefig(folder / f"bench-{name}.png", bbox_inches="tight", pad_inches=0.2)
            plt.close(figure)


if __name__ == "__main__":
    if sys.argv[1:] == ["--try"]:
        with tempfile.TemporaryDirectory() as throwaway:
            draw(Path(throwaway))
    else:
        draw(IMAGES)
