"""Draw every dashboard as Grafana shows it, from a running Prometheus: one PNG each.

    python paint.py PROMETHEUS_URL FOLDER BEGIN END

BEGIN and END are in Unix time. Needs only matplotlib and the dashboards' JSON.
"""

import json
import math
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

DASHBOARDS = Path(__file__).resolve().parents[1] / "grafana/dashboards"
RATE_INTERVAL = "15s"
STEP_SECONDS = 2
COLUMN_INCHES, ROW_INCHES = 0.75, 0.42
BACKGROUND, PANEL, TEXT, FAINT = "#f4f5f5", "#ffffff", "#24292e", "#8e9297"
COLOURS = ("#3274d9", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#e0b400", "#1f9e9e", "#705da0")
STATES = {"green": "#37872d", "yellow": "#e0b400", "red": "#c4162a"}
LEGENDS_MAX = 8
LEGEND_ROOM = 1.3  # Above the lines, so that the legend hides none of them.


def get(url: str, path: str, **parameters: str) -> list[Any]:
    """Return the result of a query."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=20) as answer:  # noqa: S310 - http only
        result: list[Any] = json.load(answer)["data"]["result"]
        return result


def legend(pattern: str, labels: dict[str, str]) -> str:
    """Return the legend with the labels' values: "{{status}}" becomes "completed"."""
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def show(value: float, unit: str) -> str:
    """Return a value in readable form."""
    if math.isnan(value):
        return "–"
    if unit == "s":
        if value < 0.001:
            return f"{value * 1e6:.0f} µs" if value else "0 s"
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        for name in ("B", "kB", "MB", "GB"):
            if value < 1024 or name == "GB":
                return f"{value:.3g} {name}"
            value /= 1024
    suffix = {"ops": "/s", "reqps": "/s"}.get(unit, "")
    if value >= 10_000:
        return f"{value / 1000:.3g}k{suffix}"
    return f"{value:.0f}{suffix}" if value == int(value) else f"{value:.3g}{suffix}"


def paint_lines(axes: Axes, panel: dict[str, Any], url: str, begin: float, end: float) -> None:
    """Draw the panel's queries over time."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    drawn: list[tuple[str, list[float], list[float]]] = []
    for target in panel["targets"]:
        found = get(
            url,
            "query_range",
            query=target["expr"].replace("$__rate_interval", RATE_INTERVAL),
            start=str(begin),
            end=str(end),
            step=str(STEP_SECONDS),
        )
        for series in found:
            name = legend(target["legendFormat"], series["metric"])
            drawn.append((name, *_with_gaps(series["values"], begin)))
    _draw(axes, drawn, stacked=stacked)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1e-9) * LEGEND_ROOM)
    axes.set_xlim(0, end - begin)
    top = axes.get_ylim()[1]
    if unit == "bytes":  # Powers of two are round in every unit that `show` chooses.
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(max(top, 1) / 6))))
    if unit == "percentunit":
        axes.set_yticks([tick for tick in axes.get_yticks() if tick <= max(1, top / LEGEND_ROOM)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    if drawn:
        axes.legend(
            loc="upper left",
            fontsize=6.5,
            frameon=True,
            framealpha=0.75,
            edgecolor="none",
            ncols=2 if len(drawn) > 4 else 1,
            labelcolor=TEXT,
        )


def _with_gaps(values: list[tuple[float, str]], begin: float) -> tuple[list[float], list[float]]:
    """Return times and values, with no value where the series has a gap."""
    at: list[float] = []
    found: list[float] = []
    for time, value in values:
        if at and time - begin - at[-1] > 1.5 * STEP_SECONDS:
            at.append(at[-1] + STEP_SECONDS)
            found.append(math.nan)
        at.append(time - begin)
        found.append(float(value))
    return at, found


def _draw(axes: Axes, drawn: list[tuple[str, list[float], list[float]]], *, stacked: bool) -> None:
    below: dict[float, float] = {}
    for place, (name, at, values) in enumerate(drawn):
        colour = COLOURS[place % len(COLOURS)]
        label = name if place < LEGENDS_MAX else None
        if not stacked:
            axes.plot(at, values, color=colour, linewidth=1.6, label=label)
            continue
        base = [below.get(t, 0.0) for t in at]
        top = [b + v for b, v in zip(base, values, strict=True)]
        axes.fill_between(at, base, top, color=colour, alpha=0.45, linewidth=0, label=label)
        axes.plot(at, top, color=colour, linewidth=1.2)
        below.update((t, y) for t, y in zip(at, top, strict=True) if not math.isnan(y))


def paint_figures(axes: Axes, panel: dict[str, Any], url: str, end: float) -> None:
    """Draw the panel's latest values, each on the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    steps = defaults["thresholds"]["steps"]
    target = panel["targets"][0]
    expr = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
    found = get(url, "query", query=expr, time=str(end))
    texts = {
        value: result["text"]
        for mapping in defaults.get("mappings", ())
        for value, result in mapping["options"].items()
    }
    columns = min(4, max(1, len(found)))
    rows = max(1, math.ceil(len(found) / columns))
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    for place, sample in enumerate(found):
        value = float(sample["value"][1])
        x, y = place % columns, place // columns
        colour = next(
            STATES[s["color"]] for s in reversed(steps) if s["value"] is None or value >= s["value"]
        )
        axes.add_patch(plt.Rectangle((x + 0.01, y + 0.04), 0.98, 0.92, color=colour, alpha=0.92))
        said = texts.get(f"{value:g}", show(value, defaults["unit"]))
        name = legend(target["legendFormat"], sample["metric"])
        if panel["options"]["textMode"] == "name":
            said = name
        if columns == 1:
            axes.text(x + 0.5, y + 0.5, said, ha="center", va="center", fontsize=17, color="white")
        else:
            axes.text(
                *(x + 0.5, y + 0.5, f"{name.replace('_', ' ')}: {said}"),
                ha="center",
                va="center",
                fontsize=7.5,
                color="white",
            )


def paint_board(board: dict[str, Any], url: str, begin: float, end: float) -> Any:
    """Draw the whole dashboard, each panel at its grid position."""
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    width_inches, height_inches = 24 * COLUMN_INCHES, height * ROW_INCHES + 0.6
    figure = plt.figure(figsize=(width_inches, height_inches), facecolor=BACKGROUND)
    title_y = 1 - 0.3 / height_inches
    figure.text(0.01, title_y, board["title"], fontsize=15, weight="bold", color=TEXT, va="center")
    figure.text(
        0.99, title_y, board["description"], fontsize=9, color=FAINT, ha="right", va="center"
    )

    def y_of(rows: float) -> float:
        return 1 - (0.6 + rows * ROW_INCHES) / height_inches

    for panel in board["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] / 24, y_of(place["y"])
        if panel["type"] == "row":
            middle = y_of(place["y"] + 0.55)
            figure.text(0.01, middle, panel["title"], fontsize=10, color=TEXT, va="center")
            continue
        bottom, right = y_of(place["y"] + place["h"]), (place["x"] + place["w"]) / 24
        frame = figure.add_axes((left + 0.003, bottom + 0.001, right - left - 0.006, top - bottom))
        frame.set_facecolor(PANEL)
        frame.set_xticks([])
        frame.set_yticks([])
        for side in frame.spines.values():
            side.set_color("#e4e5e6")
        title_height = 0.26 / height_inches
        figure.text(
            *(left + 0.008, top - title_height * 0.8, panel["title"]),
            fontsize=9,
            weight="bold",
            color=TEXT,
            va="center",
        )
        if panel["type"] == "stat":
            inner = (
                *(left + 0.006, bottom + 0.06 / height_inches),
                *(right - left - 0.012, top - bottom - title_height - 0.12 / height_inches),
            )
            paint_figures(figure.add_axes(inner), panel, url, end)
            continue
        inner = (
            *(left + 0.034, bottom + 0.28 / height_inches),
            *(right - left - 0.044, top - bottom - title_height - 0.42 / height_inches),
        )
        axes = figure.add_axes(inner)
        axes.set_facecolor(PANEL)
        axes.grid(color="#eceded", linewidth=0.8)
        axes.tick_params(labelsize=7, colors=FAINT, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        paint_lines(axes, panel, url, begin, end)
    return figure


def main() -> None:
    """Draw all dashboards."""
    url, folder, begin, end = sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:5])
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        figure = paint_board(json.loads(path.read_text()), url, begin, end)
        target = folder / f"dashboards-{path.stem}.png"
        figure.savefig(target, dpi=80)
        plt.close(figure)
        print(f"painted {target.name}")


if __name__ == "__main__":
    main()
