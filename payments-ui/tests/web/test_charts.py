"""Charts are drawn in proportion, with round numbers on their axis."""

import pytest

from payments_ui.api.types import BalancePoint
from payments_ui.web.charts import HEIGHT, WIDTH, balance_chart, nice_ticks, throughput_chart


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (0, 7, [0, 2, 4, 6, 8]),
        (-50, 50, [-50, -25, 0, 25, 50]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks_are_round_and_span_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks


def test_counts_have_whole_ticks() -> None:
    assert nice_ticks(0, 2, whole=True) == [0, 1, 2]


def bucket(completed: int, failed: int = 0, discrepancy: int = 0) -> dict[str, object]:
    return {
        "start": "2026-11-22T20:00:00Z",
        "completed": completed,
        "failed": failed,
        "discrepancy": discrepancy,
    }


def test_a_single_failure_among_thousands_is_visible() -> None:
    chart = throughput_chart({"bucketSeconds": 10, "buckets": [bucket(5000, failed=1)]})  # type: ignore[list-item]  # A plain dict.
    completed, failed = chart.bars[0].segments
    assert (completed.kind, failed.kind) == ("completed", "failed")
    assert failed.height >= 1.5
    assert failed.y + failed.height == pytest.approx(completed.y)


def test_the_rate_is_that_of_the_last_minute_up_to_the_newest_bucket() -> None:
    buckets = [bucket(0)] * 4 + [bucket(100)] * 5 + [bucket(160)]
    chart = throughput_chart({"bucketSeconds": 10, "buckets": buckets})  # type: ignore[typeddict-item]  # Plain dicts.
    assert chart.last_minute_per_second == 11
    assert chart.peak_per_second == 16
    assert chart.total == 660


def test_no_buckets_give_an_empty_chart() -> None:
    chart = throughput_chart({"bucketSeconds": 10, "buckets": []})
    assert chart.bars == ()
    assert chart.last_minute_per_second == 0


def point(seconds: int, balance: str) -> BalancePoint:
    at = f"2026-11-22T20:00:{seconds:02d}Z"
    return {"at": at, "balance": balance, "accountSeq": seconds + 1}


NOW = "2026-11-22T20:00:20Z"


def test_a_balance_stays_until_the_next_posting() -> None:
    chart = balance_chart([point(0, "50.00"), point(10, "100.00")], None, NOW)
    assert chart is not None
    assert [(point.x, point.y) for point in chart.points] == [(0, HEIGHT / 2), (WIDTH / 2, 0)]
    assert chart.line == "M0.0 50.0H500.0V0.0H1000.0"


def test_one_posting_is_no_chart() -> None:
    assert balance_chart([point(0, "50.00")], None, NOW) is None


def test_a_negative_balance_is_drawn_below_zero() -> None:
    chart = balance_chart([point(0, "-20.00"), point(1, "-40.00")], None, NOW)
    assert chart is not None
    assert chart.ticks[-1].value == 0
    assert chart.points[-1].y == HEIGHT


def test_a_range_begins_with_the_balance_before_it() -> None:
    points = [point(0, "50.00"), point(15, "100.00")]
    chart = balance_chart(points, "2026-11-22T20:00:10Z", NOW)
    assert chart is not None
    assert [each.x for each in chart.points] == [0, WIDTH / 2]
    assert chart.line.startswith("M0.0 50.0H500.0")
    assert chart.start == "2026-11-22T20:00:10Z"
    assert chart.points[0].at == "2026-11-22T20:00:00Z"
