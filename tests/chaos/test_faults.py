"""A bounded run of the fault suite: real processes, a fixed seed. `make chaos` runs more."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testkit.chaos.faults.catalogue import FAULTS
from testkit.chaos.report import as_text
from testkit.chaos.run import Options, Plan, plan, run
from testkit.chaos.system.running import SystemSpec, skewed, supported

# One short fault for each affected part, because this test runs with every change.
BRIEF = (
    "kill_api",
    "kill_worker_at_point",
    "crash_postgres",
    "terminate_backends",
    "lose_answers",
    "reset_connections",
    "half_close_connections",
)


async def test_faults_lose_and_duplicate_no_payment(tmp_path: Path) -> None:
    spec = SystemSpec(apis=["this"], workers=["this", "skewed"], small_disk=False, durable=False)
    result = await run(Options(seed=779, seconds=15, faults=BRIEF, spec=spec), tmp_path)
    print(as_text([result]))
    assert result.wrong == []
    assert len(result.injected) > 0
    assert result.verdict.figures["payments accepted"] > 50
    assert result.verdict.figures["reversals settled"] > 25
    told = result.verdict.figures["events told"]
    assert told > 75
    # Not a share: the last events wait for a subscriber that accepts everything.
    assert result.verdict.figures["attempts to tell"] > told + 25
    assert result.verdict.figures["repeats answered alike"] > 0
    assert result.verdict.figures["reused keys refused"] > 0


def _drawn(coming: Plan, count: int) -> list[tuple[str, float]]:
    planned = [each for _ in range(count) for each in coming.next()]
    return [(fault.name, own.random()) for fault, own in planned]


def test_a_seed_replays_the_same_faults_with_the_same_details() -> None:
    faults = list(FAULTS.values())
    assert _drawn(plan(7, faults), 60) == _drawn(plan(7, faults), 60)
    assert _drawn(plan(7, faults), 60) != _drawn(plan(8, faults), 60)


def test_every_fault_occurs_once_before_any_repeats() -> None:
    faults = [FAULTS[name] for name in BRIEF if FAULTS[name].weight == 1]
    for seed in random.Random(1).sample(range(1000), 20):
        names = [name for name, _ in _drawn(plan(seed, faults), len(faults))]
        assert len(set(names[: len(faults)])) == len(faults)


@pytest.mark.parametrize(("by", "hours"), [("+1h", 1), ("-1h", -1)])
def test_a_skewed_clock_is_an_hour_off_and_runs_at_normal_speed(by: str, hours: int) -> None:
    spec, reasons = supported(SystemSpec(apis=[], workers=["skewed"], small_disk=False))
    if spec.workers != ["skewed"]:
        pytest.skip(reasons[0])
    # Waits with asyncio, as the worker does: libfaketime 0.9.10 breaks time.sleep.
    script = (
        "import asyncio, time; begun = time.monotonic(); asyncio.run(asyncio.sleep(0.2));"
        " print(time.time(), time.monotonic() - begun)"
    )
    command = [sys.executable, "-c", script]
    environ = {**os.environ, **skewed(by)}
    printed = subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True
    ).stdout
    now, slept = map(float, printed.split())
    assert now - time.time() == pytest.approx(hours * 3600, abs=30)
    assert 0.2 <= slept < 30
