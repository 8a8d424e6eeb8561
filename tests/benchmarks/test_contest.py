"""Contests: contenders take turns, and their medians are compared."""

from functools import partial
from pathlib import Path

from benchmarks.__main__ import PARTS
from benchmarks.contest import Contender, Contest
from benchmarks.effort import Effort

ALL = frozenset(PARTS)


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def sample(name: str) -> dict[str, float]:
        order.append(name)
        return {"per_second": len(order)}

    contenders = [Contender(name, partial(sample, name)) for name in ("a", "b")]
    contest = Contest("jobs/s").run(contenders, 3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert contest.median("a") == 3
    assert contest.ratio("b", "a") == 4 / 3
    assert contest.ratio("b", "absent") is None
    spread = contest.figures()["contenders"]["b"]["per_second"]
    assert (spread["low"], spread["median"], spread["high"]) == (2, 4, 6)


def test_a_budget_shrinks_samples_before_claimed_measurements() -> None:
    full = Effort()
    within = full.within(full.expected_minutes(ALL) * 0.85, ALL)
    assert within.seconds < full.seconds
    assert (within.snapshot_minutes, within.bloat_jobs) == (full.snapshot_minutes, full.bloat_jobs)
    little = full.within(full.expected_minutes(ALL) * 0.5, ALL)
    assert little.bloat_jobs < full.bloat_jobs


def test_an_existing_dataset_is_reused(tmp_path: Path) -> None:
    growth = frozenset(("growth",))
    kept = Effort(grown_data=str(tmp_path)).expected_minutes(growth)
    assert kept < Effort().expected_minutes(growth) / 1.5


def test_a_budget_shortens_samples_and_keeps_their_number() -> None:
    full = Effort()
    within = full.within(full.expected_minutes(ALL) * 0.8, ALL)
    assert within.expected_minutes(ALL) <= full.expected_minutes(ALL) * 0.8
    assert within.seconds < full.seconds
    assert (within.repeats, within.grown_payments) == (full.repeats, full.grown_payments)
