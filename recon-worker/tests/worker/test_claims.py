"""A lane's claim position and batch size."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from payments_core.queue.jobs import QUEUE_FRONT, ClaimedJob
from recon_worker.worker.claims import (
    FRONT_CLAIM_PAUSE_FACTOR,
    GROWTH_MAX,
    SLOW_SECONDS,
    BatchSize,
    ClaimOrder,
)
from testkit.clock import Clock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _jobs(*seconds: int) -> list[ClaimedJob]:
    return [
        ClaimedJob(
            second, uuid4(), 1, 10, None, Decimal(1), "pending", NOON, 0,
            NOON + timedelta(seconds=second),
        )
        for second in seconds
    ]  # fmt: skip


def test_a_lane_without_a_backlog_always_claims_from_the_front() -> None:
    clock = Clock()
    order = ClaimOrder(clock)
    for _ in range(3):
        assert order.next_cursor() == QUEUE_FRONT
        order.claimed(QUEUE_FRONT, _jobs(1), 2, SLOW_SECONDS)
        assert order.seconds_to_front() == 0


def test_with_a_backlog_a_lane_continues_at_its_cursor_and_rescans_later() -> None:
    clock = Clock()
    order = ClaimOrder(clock)
    jobs = _jobs(3, 1, 2)
    order.claimed(QUEUE_FRONT, jobs, 3, 0.05)
    assert order.next_cursor() == jobs[0].cursor
    clock.now += FRONT_CLAIM_PAUSE_FACTOR * 0.05 / 2
    order.claimed(jobs[0].cursor, _jobs(4, 5, 6), 3, 0.01)
    assert order.next_cursor() == (0, NOON + timedelta(seconds=6), 6)
    assert order.seconds_to_front() > 0
    clock.now += FRONT_CLAIM_PAUSE_FACTOR * 0.05 / 2 + 0.001
    assert order.next_cursor() == QUEUE_FRONT


def test_a_slow_scan_that_found_little_is_not_repeated_at_once() -> None:
    order = ClaimOrder(Clock())
    order.claimed(QUEUE_FRONT, _jobs(1), 1000, 2 * SLOW_SECONDS)
    assert order.next_cursor() != QUEUE_FRONT
    order = ClaimOrder(Clock())
    order.claimed(QUEUE_FRONT, [], 1000, 2 * SLOW_SECONDS)
    assert order.next_cursor() == QUEUE_FRONT, (
        "nothing was claimed, so the cursor stays at the front"
    )


def test_batches_grow_while_jobs_are_slow_and_shrink_afterwards() -> None:
    size = BatchSize(100)
    size.settled(100, 1.0)
    assert size.jobs == 100
    for expected in (200, 400, 500, 500):
        size.settled(size.jobs, 0.02 * size.jobs)
        assert size.jobs == expected
    for expected in (250, 125, 100, 100):
        size.settled(size.jobs, 0.01 * size.jobs)
        assert size.jobs == expected
    assert size.jobs <= GROWTH_MAX * 100


def test_without_a_backlog_batches_have_the_configured_size() -> None:
    size = BatchSize(100)
    size.settled(100, 1.0)
    size.settled(100, 9.0)
    assert size.jobs == 200
    size.settled(150, 9.0)
    assert size.jobs == 100
    size.settled(0, 9.0)
    assert size.jobs == 100
