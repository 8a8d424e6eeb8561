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
        ("accepted_per_second", line(700, 0), True),
        ("accepted_per_second", line(700, -5), False),
        ("accepted_per_second", line(700, 5), True),
        ("leaf_density payments_pkey", line(0.9, -0.01), False),
        ("free_share recon_jobs", line(0.4, 0.01), False),
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


def test_what_has_to_fill_first_is_judged_from_when_it_is_full() -> None:
    filling = [(5.0 * n, min(20.0, 0.4 * n)) for n in range(120)]
    early = trend("table_megabytes recon_jobs", filling)
    assert early is not None
    assert not early.flat
    later = trend("table_megabytes recon_jobs", filling, warm_up_seconds=240)
    assert later is not None
    assert later.flat
    assert trend("table_megabytes recon_jobs", filling[:50], warm_up_seconds=240) is None


def test_every_line_is_judged() -> None:
    samples = [{"seconds": 5.0 * n, "connections": 3, "open_files api": 9 * n} for n in range(40)]
    found = trends(samples)
    assert {name: line["flat"] for name, line in found.items()} == {
        "connections": True,
        "open_files api": False,
    }
