"""Contenders take turns, and their medians are compared."""

from functools import partial
from pathlib import Path

from benchmarks.contest import Contender, Contest
from benchmarks.effort import Effort


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


def test_a_budget_spares_what_is_claimed_for_as_long_as_samples_can_shrink() -> None:
    full = Effort()
    within = full.within(full.expected_minutes() * 0.85)
    assert within.seconds < full.seconds
    assert (within.snapshot_minutes, within.bloat_jobs) == (full.snapshot_minutes, full.bloat_jobs)
    little = full.within(full.expected_minutes() * 0.5)
    assert little.bloat_jobs < full.bloat_jobs


def test_a_kept_dataset_is_not_made_again(tmp_path: Path) -> None:
    growth = frozenset(("growth",))
    kept = Effort(grown_data=str(tmp_path)).expected_minutes(growth)
    assert kept < Effort().expected_minutes(growth) / 1.5


def test_a_budget_shortens_samples_and_keeps_their_number() -> None:
    full = Effort()
    within = full.within(full.expected_minutes() * 0.8)
    assert within.expected_minutes() <= full.expected_minutes() * 0.8
    assert within.seconds < full.seconds
    assert (within.repeats, within.grown_payments) == (full.repeats, full.grown_payments)
