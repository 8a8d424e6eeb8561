"""Is a line of samples flat? A straight line through them, its rise set against its level.

For most lines only a rise is bad; for some (what is accepted, how full an index is) a fall.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import StatisticsError, linear_regression, mean
from typing import Any

WARM_UP_SHARE = 0.25  # Caches fill and pools open: what follows has to be flat.
SAMPLES_MIN = 8
FLAT_RISE_SHARE_MAX = 0.10  # Over the time looked at, of the mean.
WORSE_WHEN_FALLING = ("accepted_per_second", "leaf_density")
# Below these a rise is noise, whatever its share. By the beginning of the name.
NEGLIGIBLE = {
    "memory_megabytes": 4.0,
    "connections": 2.0,
    "queue_depth": 200.0,
    "oldest_job_seconds": 1.0,
    "answered_milliseconds": 5.0,
    "settled_milliseconds": 20.0,
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
    times, values = [at for at, _ in later], [value for _, value in later]
    try:
        slope = linear_regression(times, values).slope
    except StatisticsError:
        return None
    level, rise = mean(values), slope * (times[-1] - times[0])
    negligible = next((n for start, n in NEGLIGIBLE.items() if name.startswith(start)), 0.0)
    worse = -rise if name.startswith(WORSE_WHEN_FALLING) else rise
    flat = worse <= max(negligible, FLAT_RISE_SHARE_MAX * abs(level))
    return Trend(level, rise, slope * 3600, flat)


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
