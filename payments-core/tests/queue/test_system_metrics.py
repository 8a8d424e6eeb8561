"""The metrics of the whole system, from one observation."""

import time

import pytest

from payments_core.db.engine import create_engine, single_statement
from payments_core.queue import system_metrics
from payments_core.queue.system_metrics import Observer, clock_offset


@pytest.mark.parametrize(
    ("asked", "told", "answered", "offset"),
    [
        (100.0, 100.1, 100.2, 0.0),
        (100.0, 100.0, 130.0, 0.0),  # A slow answer is no offset.
        (700.0, 100.0, 701.0, 600.0),
        (100.0, 700.0, 101.0, -599.0),
    ],
)
def test_an_offset_is_what_a_slow_answer_does_not_explain(
    asked: float, told: float, answered: float, offset: float
) -> None:
    assert clock_offset(asked, told, answered) == offset


@pytest.mark.parametrize("ahead", [0.0, 660.0, -660.0])
async def test_a_clock_that_differs_from_the_databases_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(system_metrics, "time", lambda: time.time() + ahead)
    engine = create_engine(database_url, application_name="test", pool_size=1)
    observer = Observer()
    async with single_statement(engine) as connection:
        observer.last = await system_metrics._observe(connection)
    await engine.dispose()
    told = {family.name: family.samples[0].value for family in observer.collect() if family.samples}
    assert told["payments_clock_offset_seconds"] == pytest.approx(ahead, abs=30)
