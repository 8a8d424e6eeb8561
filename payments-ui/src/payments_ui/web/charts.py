"""Geometry of the charts, which the templates draw as SVG with attributes alone.

x runs from 0 to WIDTH, y downwards from 0 to HEIGHT. The drawing is stretched to its box; labels
are HTML beside it and keep their form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor, log10

from payments_ui.api.types import BalancePoint, Throughput
from payments_ui.web.formatting import parse_time

WIDTH, HEIGHT = 1000.0, 100.0
TIMES = 3  # Times on the horizontal axis besides "now"; more do not fit on a phone.
TICKS = 4  # Approximate number of lines on the vertical axis.


@dataclass(frozen=True)
class Tick:
    """A line of the vertical axis: position and value."""

    at: float
    value: float


@dataclass(frozen=True)
class Segment:
    """A part of a bar."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """The payments of one bucket."""

    x: float
    width: float
    start: str
    counts: dict[str, int]
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Moment:
    """A tick of the horizontal axis: position and time."""

    x: float
    at: str


@dataclass(frozen=True)
class BarChart:
    """Stacked bars over time."""

    bars: tuple[Bar, ...]
    times: tuple[Moment, ...]
    ticks: tuple[Tick, ...]
    total: int
    peak_per_second: float
    last_minute_per_second: float


@dataclass(frozen=True)
class Point:
    """A posting on the balance chart."""

    x: float
    y: float
    at: str
    balance: str


@dataclass(frozen=True)
class StepChart:
    """A balance over time: it changes at each posting."""

    line: str
    area: str
    points: tuple[Point, ...]
    ticks: tuple[Tick, ...]
    start: str
    end: str


def nice_ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Return round numbers that span low..high: [0, 5, 10, 15]."""
    if high <= low:
        high = low + 1
    raw = (high - low) / TICKS
    magnitude = 10.0 ** floor(log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    step = max(1.0, ceil(step)) if whole else step
    first, last = floor(low / step), ceil(high / step)
    return [index * step for index in range(first, last + 1)]


def throughput_chart(answer: Throughput) -> BarChart:
    """Return one bar per bucket of GET /throughput, with failed payments on top.

    The newest bucket is complete: the API leaves out the current one.
    """
    buckets = answer["buckets"]
    seconds = answer["bucketSeconds"] or 1
    totals = [b["completed"] + b["failed"] + b["discrepancy"] for b in buckets]
    ticks = nice_ticks(0, max(totals, default=0) or 4, whole=True)
    scale = HEIGHT / ticks[-1]
    slot = WIDTH / max(1, len(buckets))
    bars = []
    for index, bucket in enumerate(buckets):
        counts = {
            "completed": bucket["completed"],
            "discrepancy": bucket["discrepancy"],
            "failed": bucket["failed"],
        }
        bars.append(
            Bar(
                x=round(index * slot + slot * 0.12, 2),
                width=round(slot * 0.76, 2),
                start=bucket["start"],
                counts=counts,
                segments=_stack(counts, scale),
            )
        )
    minute = totals[-max(1, 60 // seconds) :]
    return BarChart(
        bars=tuple(bars),
        times=tuple(
            Moment(round(index * slot, 2), buckets[index]["start"])
            for index in range(0, len(buckets), max(1, len(buckets) // TIMES))
        )[:TIMES],
        ticks=tuple(Tick(round(HEIGHT - tick * scale, 2), tick) for tick in ticks),
        total=sum(totals),
        peak_per_second=max(totals, default=0) / seconds,
        last_minute_per_second=sum(minute) / max(1, len(minute) * seconds),
    )


def _stack(counts: dict[str, int], scale: float) -> tuple[Segment, ...]:
    floor_y = HEIGHT
    segments = []
    for kind, count in counts.items():
        if count:
            height = max(count * scale, 1.5)  # One failure among thousands stays visible.
            floor_y -= height
            segments.append(Segment(kind, round(floor_y, 2), round(height, 2)))
    return tuple(segments)


def balance_chart(history: Sequence[BalancePoint], begin: str | None, now: str) -> StepChart | None:
    """Return the balance from `begin`, or from the first point, up to now.

    None with fewer than two points. A point before the range gives the balance at its beginning.
    """
    end = parse_time(now)
    known = [(at, point) for point in history if (at := parse_time(point["at"]))]
    if len(known) < 2 or end is None:
        return None
    # The clocks of two workers may differ: an entry is drawn no earlier than the one before it.
    first = parse_time(begin or "") or known[0][0]
    seconds = list(accumulate((max(at, first).timestamp() for at, _ in known), max))
    values = [float(point["balance"]) for _, point in known]  # For drawing only.
    ticks = nice_ticks(min(0.0, *values), max(0.0, *values))
    last = max(end.timestamp(), seconds[-1])
    x_of = _scale(min(first.timestamp(), seconds[0]), last, 0.0, WIDTH)
    y_of = _scale(ticks[0], ticks[-1], HEIGHT, 0.0)
    points = tuple(
        Point(x_of(at), y_of(value), point["at"], point["balance"])
        for at, value, (_, point) in zip(seconds, values, known, strict=True)
    )
    steps = "".join(f"H{point.x}V{point.y}" for point in points[1:])
    line = f"M{points[0].x} {points[0].y}{steps}H{WIDTH}"
    return StepChart(
        line=line,
        area=f"{line}V{y_of(0)}H{points[0].x}Z",
        points=points,
        ticks=tuple(Tick(y_of(tick), tick) for tick in ticks),
        start=begin or points[0].at,
        end=now,
    )


def _scale(low: float, high: float, at_low: float, at_high: float) -> Callable[[float], float]:
    """Return the linear function that maps low to at_low and high to at_high."""
    span = (high - low) or 1.0
    return lambda value: round(at_low + (value - low) / span * (at_high - at_low), 2)
