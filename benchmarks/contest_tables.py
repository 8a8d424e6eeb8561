"""The tables of contests, with their ratios, settings and absent contenders."""

from benchmarks.contest import Figures
from benchmarks.results import figures_of


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
