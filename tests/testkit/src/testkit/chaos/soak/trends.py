"""Trends: fits a straight line to a series, and compares its rise with its level.

For most series only a rise is bad; for some (accepted payments, fill of an index) a fall.

Latencies near capacity come in bursts: a hiccup of the machine raises all samples until the system
has caught up, at any point of the run. For them the line is fitted to the medians of ten stretches,
and a rise must also pass the test of Mann and Kendall: "Nonparametric tests against trend",
Econometrica 13, 1945.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from math import sqrt
from statistics import StatisticsError, linear_regression, mean, median
from typing import Any

WARM_UP_SHARE = 0.25  # Caches fill and pools open; the rest must be flat.
SAMPLES_MIN = 8
FLAT_RISE_SHARE_MAX = 0.10  # Of the mean, over the judged time.
BURSTY = ("answered_milliseconds", "settled_milliseconds")
STRETCHES = 10
CHANCE_Z_MAX = 1.645  # One in twenty series without a trend exceeds it.
WORSE_WHEN_FALLING = ("accepted_per_second", "leaf_density")
# A smaller rise is noise, whatever its share. By prefix of the name.
NEGLIGIBLE = {
    "memory_megabytes each postgres": 0.5,
    "memory_megabytes": 4.0,
    "connections": 2.0,
    "queue_depth": 200.0,
    "oldest_job_seconds": 1.0,
    "answered_milliseconds": 5.0,
    "settled_milliseconds": 5.0,
    "processor_microseconds": 50.0,  # For each payment: indexes grow deeper with their tables.
    "dead_share": 0.25,  # Each autovacuum reduces it.
    "table_megabytes": 4.0,
    "index_megabytes": 4.0,
    "megabytes of other tables": 4.0,
    "open_files": 4.0,
    "free_share": 0.10,
    "leaf_density": 0.10,
    "table_bytes_per_payment": 8.0,
    "index_bytes_per_payment": 8.0,
}


@dataclass(frozen=True)
class Trend:
    """A fitted trend; `rise` is the line's, from the end of the warm-up to the last sample."""

    mean: float
    rise: float
    per_hour: float
    flat: bool


def trend(
    name: str, points: Sequence[tuple[float, float]], warm_up_seconds: float = 0.0
) -> Trend | None:
    """Return the trend of (seconds, value) points after the warm-up, or None for too few points.

    The warm-up is a share of the time or a number of seconds, whichever is longer.
    """
    if not points:
        return None
    first, last = points[0][0], points[-1][0]
    warm = first + max((last - first) * WARM_UP_SHARE, warm_up_seconds)
    later = [point for point in points if point[0] >= warm]
    if len(later) < SAMPLES_MIN:
        return None
    bursty = name.startswith(BURSTY)
    if bursty:
        later = _stretches(later)
    times, values = [at for at, _ in later], [value for _, value in later]
    try:
        slope = linear_regression(times, values).slope
    except StatisticsError:
        return None
    level, rise = mean(values), slope * (times[-1] - times[0])
    negligible = next((n for start, n in NEGLIGIBLE.items() if name.startswith(start)), 0.0)
    worse = -rise if name.startswith(WORSE_WHEN_FALLING) else rise
    flat = worse <= max(negligible, FLAT_RISE_SHARE_MAX * abs(level)) or (
        bursty and _kendall_z(values) <= CHANCE_Z_MAX
    )
    return Trend(level, rise, slope * 3600, flat)


def _stretches(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the medians of equally long stretches of points, in order."""
    cuts = [round(n * len(points) / STRETCHES) for n in range(STRETCHES + 1)]
    parts = [points[start:end] for start, end in pairwise(cuts) if end > start]
    return [(median(at for at, _ in part), median(value for _, value in part)) for part in parts]


def _kendall_z(values: Sequence[float]) -> float:
    """Return Mann and Kendall's statistic in standard deviations: how clearly the values rise."""
    n = len(values)
    ups = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    return ups / sqrt(n * (n - 1) * (2 * n + 5) / 18)


def trends(
    samples: Sequence[dict[str, float]], warm_up_seconds: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Return each series with its trend."""
    found = {}
    for name in sorted({name for sample in samples for name in sample} - {"seconds"}):
        points = [(sample["seconds"], sample[name]) for sample in samples if name in sample]
        of_line = trend(name, points, warm_up_seconds)
        if of_line is not None:
            found[name] = {k: v if k == "flat" else round(v, 4) for k, v in asdict(of_line).items()}
    return found
