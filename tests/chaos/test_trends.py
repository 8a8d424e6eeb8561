"""What rises is told from what only wavers."""

import pytest
from payments_chaos.trends import trend, trends


def line(start: float, per_sample: float, count: int = 40) -> list[tuple[float, float]]:
    """A value each five seconds that wavers around a straight line."""
    return [(5.0 * n, start + per_sample * n + (-1) ** n * start / 50) for n in range(count)]


@pytest.mark.parametrize(
    ("name", "points", "flat"),
    [
        ("memory_megabytes api", line(100, 0), True),
        ("memory_megabytes api", line(100, 0.05), True),
        ("memory_megabytes api", line(100, 1), False),
        ("queue_depth", line(0, 1), True),
        ("queue_depth", line(0, 50), False),
        ("answered_milliseconds p99", line(40, 2), False),
        ("answered_milliseconds p99", line(40, -1), True),
    ],
)
def test_a_line_is_flat_unless_it_rises_beyond_its_noise(
    name: str, points: list[tuple[float, float]], flat: bool
) -> None:
    found = trend(name, points)
    assert found is not None
    assert found.flat is flat


def test_what_rises_only_while_warming_up_is_flat() -> None:
    warming = [(5.0 * n, min(100.0, 20.0 + 10 * n)) for n in range(40)]
    found = trend("memory_megabytes api", warming)
    assert found is not None
    assert found.flat


def test_too_few_samples_have_no_trend() -> None:
    assert trend("connections", line(10, 0, count=5)) is None


def test_only_what_may_be_flat_is_judged() -> None:
    samples = [
        {"seconds": 5.0 * n, "table_megabytes ledger_entries": n, "table_megabytes recon_jobs": 1}
        for n in range(40)
    ]
    assert trends(samples).keys() == {"table_megabytes recon_jobs"}
