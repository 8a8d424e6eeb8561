"""Is a line of samples flat? A straight line through them, its rise set against its level.

For most lines only a rise is bad; for some (what is accepted, how full an index is) a fall.

Latencies near capacity come in bursts: a hiccup of the machine is in all of the samples that it
takes to catch up, wherever in the run it falls. So of those the line is laid through the medians
of ten stretches, and a rise has to be one by the test of Mann and Kendall as well: "Nonparametric
tests against trend", Econometrica 13, 1945.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from math import sqrt
from statistics import StatisticsError, linear_regression, mean, median
from typing import Any

WARM_UP_SHARE = 0.25  # Caches fill and pools open: what follows has to be flat.
SAMPLES_MIN = 8
FLAT_RISE_SHARE_MAX = 0.10  # Over the time looked at, of the mean.
BURSTY = ("answered_milliseconds", "settled_milliseconds")
STRETCHES = 10
CHANCE_Z_MAX = 1.645  # Of a line without a trend, one in twenty is beyond it.
WORSE_WHEN_FALLING = ("accepted_per_second", "leaf_density")
# Below these a rise is noise, whatever its share. By the beginning of the name.
NEGLIGIBLE = {
    "memory_megabytes each postgres": 0.5,
    "memory_megabytes": 4.0,
    "connections": 2.0,
    "queue_depth": 200.0,
    "oldest_job_seconds": 1.0,
    "answered_milliseconds": 5.0,
    "settled_milliseconds": 5.0,
    "processor_microseconds": 50.0,  # For each payment: tables grow, and trees with them.
    "dead_share": 0.25,  # It falls back with each autovacuum.
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
    """`rise` is the straight line's, from the end of the warm-up to the last sample."""

    mean: float
    rise: float
    per_hour: float
    flat: bool


def trend(
    name: str, points: Sequence[tuple[float, float]], warm_up_seconds: float = 0.0
) -> Trend | None:
    """The trend of (seconds, value) points after the warm-up, which is a share of the time or so
    many seconds, whichever is longer; None where too few points follow."""
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
    """The medians of equally long stretches of points, in their order."""
    cuts = [round(n * len(points) / STRETCHES) for n in range(STRETCHES + 1)]
    parts = [points[start:end] for start, end in pairwise(cuts) if end > start]
    return [(median(at for at, _ in part), median(value for _, value in part)) for part in parts]


def _kendall_z(values: Sequence[float]) -> float:
    """By how many standard deviations later values are above earlier ones more often than not."""
    n = len(values)
    ups = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    return ups / sqrt(n * (n - 1) * (2 * n + 5) / 18)


def trends(
    samples: Sequence[dict[str, float]], warm_up_seconds: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Each line of the samples with its trend."""
    found = {}
    for name in sorted({name for sample in samples for name in sample} - {"seconds"}):
        points = [(sample["seconds"], sample[name]) for sample in samples if name in sample]
        of_line = trend(name, points, warm_up_seconds)
        if of_line is not None:
            found[name] = {k: v if k == "flat" else round(v, 4) for k, v in asdict(of_line).items()}
    return found
