"""A rising series is distinguished from a fluctuating one."""

from collections.abc import Callable
from math import sin
from random import Random

import pytest

from testkit.chaos.soak.trends import trend, trends


def line(start: float, per_sample: float, count: int = 40) -> list[tuple[float, float]]:
    """Return a value for each five seconds, fluctuating around a straight line."""
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
def test_a_series_is_flat_unless_its_rise_exceeds_its_noise(
    name: str, points: list[tuple[float, float]], flat: bool
) -> None:
    found = trend(name, points)
    assert found is not None
    assert found.flat is flat


def bursts(level: Callable[[int], float], hiccups: set[int]) -> list[tuple[float, float]]:
    """Return latencies that vary by a third, with hiccups of five samples."""
    chance = Random(7)
    late = {n + k: 200.0 / (k + 1) for n in hiccups for k in range(5)}
    return [(5.0 * n, level(n) * chance.uniform(0.7, 1.3) + late.get(n, 0)) for n in range(240)]


@pytest.mark.parametrize(
    ("points", "flat"),
    [
        (bursts(lambda _: 10, {70}), True),
        (bursts(lambda _: 10, {225}), True),
        (bursts(lambda _: 10, {190, 205, 225}), True),
        (bursts(lambda n: 10 + 6 * sin(n / 13), {100, 225}), True),
        (bursts(lambda n: 10 + n / 12, set()), False),
        (bursts(lambda n: 10 + n / 12, {70, 100}), False),
        (bursts(lambda n: 10 if n < 180 else 30, set()), False),
    ],
    ids=["hiccup early", "hiccup late", "hiccups late", "waves", "rise", "rise hid", "a step up"],
)
def test_hiccups_neither_cause_nor_hide_a_latency_trend(
    points: list[tuple[float, float]], flat: bool
) -> None:
    found = trend("answered_milliseconds p50", points)
    assert found is not None
    assert found.flat is flat


def test_a_rise_during_the_warm_up_only_is_flat() -> None:
    warming = [(5.0 * n, min(100.0, 20.0 + 10 * n)) for n in range(40)]
    found = trend("memory_megabytes api", warming)
    assert found is not None
    assert found.flat


def test_too_few_samples_have_no_trend() -> None:
    assert trend("connections", line(10, 0, count=5)) is None


def test_a_longer_warm_up_excludes_the_filling_of_a_table() -> None:
    filling = [(5.0 * n, min(20.0, 0.4 * n)) for n in range(120)]
    early = trend("table_megabytes recon_jobs", filling)
    assert early is not None
    assert not early.flat
    later = trend("table_megabytes recon_jobs", filling, warm_up_seconds=240)
    assert later is not None
    assert later.flat
    assert trend("table_megabytes recon_jobs", filling[:50], warm_up_seconds=240) is None


def test_every_series_is_judged() -> None:
    samples = [{"seconds": 5.0 * n, "connections": 3, "open_files api": 9 * n} for n in range(40)]
    found = trends(samples)
    assert {name: line["flat"] for name, line in found.items()} == {
        "connections": True,
        "open_files api": False,
    }
