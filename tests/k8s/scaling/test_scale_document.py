"""docs/scale.md contains the model's tables of the last measured figures."""

import pytest
from benchmarks import capacity_model as model

FIGURES = model.Measured(
    create_per_second=1_000,
    settle_per_second=5_000,
    hot_account_per_second=4_000,
    bytes_per_payment=2_000,
    wal_bytes_per_payment=4_000,
    postgres_seconds_per_payment=0.0002,
)


def test_the_document_equals_the_generated_one() -> None:
    text = model.DOCUMENT.read_text()
    assert text == model.written(text, model.tables(model.read_results())), "run make capacity"


def test_a_levels_resources_fit_its_peak() -> None:
    """100 million a day: 3,472 a second at the peak, no resource used above 60 %."""
    level = model.needed(100_000_000, FIGURES)
    assert level.peak_per_second == pytest.approx(3_472.2, abs=0.1)
    assert level.api_processes == 6  # 3,472 / 600 = 5.8
    assert level.worker_processes == 2  # 3,472 / 3,000
    assert level.postgres_cores == pytest.approx(0.694, abs=0.001)
    assert level.wal_megabytes_per_second == pytest.approx(13.9, abs=0.1)
    assert level.gigabytes_per_day == pytest.approx(200)
    # 18 TB in 90 days; one primary holds 8 TB.
    assert level.primaries == 3
    assert level.first_limit == "disk for 90 days: 225% of one primary"


def test_more_payments_never_need_fewer_resources() -> None:
    levels = [model.needed(per_day, FIGURES) for per_day in model.LEVELS]
    for name in ("api_processes", "worker_processes", "postgres_cores", "primaries"):
        values = [getattr(level, name) for level in levels]
        assert values == sorted(values)


def test_only_the_generated_part_is_replaced() -> None:
    text = f"before\n{model.BEGIN}\nold\n{model.END}\nafter\n"
    assert model.written(text, "new") == f"before\n{model.BEGIN}\nnew\n{model.END}\nafter\n"
