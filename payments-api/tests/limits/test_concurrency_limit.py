"""The concurrency limit adapts to the latency of requests."""

from payments_api.limits import concurrency
from payments_api.limits.concurrency import ConcurrencyLimit
from testkit.clock import Clock


def _serve(limit: ConcurrencyLimit, clock: Clock, seconds: float, count: int = 1) -> int:
    """Admit as many requests as the limit allows, each of that duration; return their number."""
    began = [at for at in (limit.admit() for _ in range(count)) if at is not None]
    clock.now += seconds
    for at in began:
        limit.answered(at)
    return len(began)


def test_the_limit_shrinks_while_all_are_slow_and_grows_again() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    assert _serve(limit, clock, 0.5, 200) == 100
    for _ in range(30):
        _serve(limit, clock, 0.5, 200)
    assert limit.limit == 10
    for _ in range(30):
        assert _serve(limit, clock, 0.15, 200) <= 100
    assert limit.limit == 100


def test_one_slow_request_is_not_overload() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    for _ in range(50):
        slow = limit.admit()
        assert slow is not None
        _serve(limit, clock, 0.05, 5)
        clock.now += 1
        _serve(limit, clock, 0.05, 5)
        limit.answered(slow)
    assert limit.limit == 100


def test_during_a_stall_few_requests_are_admitted() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 10, 100, clock)
    waiting = [limit.admit() for _ in range(20)]
    clock.now += concurrency.STALLED_SECONDS + 0.1
    assert limit.admit() is None
    for began in waiting:
        assert began is not None
        limit.answered(began)
    assert limit.admit() is not None


def test_an_idle_time_is_not_a_stall() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(0.2, 2, 100, clock)
    _serve(limit, clock, 0.01)
    clock.now += 86_400
    assert [limit.admit() is not None for _ in range(5)] == [True] * 5
