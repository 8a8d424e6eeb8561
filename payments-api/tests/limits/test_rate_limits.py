"""Quotas: counted exactly, shown in headers, rejected with a time to retry, bounded in memory."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_api.limits import rate_limit
from payments_api.limits.quota import RequestQuota
from payments_api.limits.rate_limit import RateLimit
from testkit.clock import Clock

BODY = {"accountId": "acc_1", "amount": 1}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the library reads."""
    clock = Clock()
    monkeypatch.setattr("throttled.utils.now_mono_f", clock)
    return clock


def _limit(text: str) -> RateLimit:
    return RateLimit("address", RequestQuota.parse(text))


def test_a_quota_is_available_at_once_and_then_refilled_evenly(clock: Clock) -> None:
    limit = _limit("10/second")
    assert [limit.take("a").remaining for _ in range(10)] == list(range(9, -1, -1))
    assert limit.take("a").retry_after == 1
    clock.now += 0.1
    assert limit.take("a").retry_after is None
    assert limit.take("a").retry_after == 1
    clock.now += 100
    assert [limit.take("a").retry_after for _ in range(11)] == [None] * 10 + [1]


def test_over_a_long_time_the_quota_is_not_exceeded(clock: Clock) -> None:
    limit = _limit("7/second")
    let_in = 0
    for _ in range(10_000):
        clock.now += 0.013
        let_in += limit.take("a").retry_after is None
    seconds = 130.0
    assert 7 * seconds - 1 <= let_in <= 7 * seconds + 7


def test_a_rejected_request_costs_nothing_and_its_retry_time_suffices(clock: Clock) -> None:
    limit = _limit("6/minute")
    for _ in range(6):
        limit.take("a")
    waits = [limit.take("a").retry_after for _ in range(50)]
    assert waits == [10] * 50
    clock.now += 10
    assert limit.take("a").retry_after is None


def test_clients_do_not_share_a_quota() -> None:
    limit = _limit("1/hour")
    assert limit.take("a").retry_after is None
    assert limit.take("b").retry_after is None
    assert limit.take("a").retry_after == 3600


def test_an_overdrawn_quota_is_refilled_before_the_next_request(clock: Clock) -> None:
    limit = _limit("10/second")
    limit.take("a")
    limit.charge("a", 29)
    assert limit.take("a").retry_after == 3  # 30 items need 2.1 s, rounded up to whole seconds.
    clock.now += 2.1
    assert limit.take("a").retry_after is None


@given(
    requests=st.integers(1, 1_000),
    period=st.sampled_from(["second", "minute", "hour"]),
    now=st.floats(0, 1e8),
)
def test_exactly_the_quota_is_admitted_at_any_clock_time(
    requests: int, period: str, now: float
) -> None:
    clock = Clock()
    clock.now = now
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("throttled.utils.now_mono_f", clock)
        limit = _limit(f"{requests}/{period}")
        let_in = [limit.take("a").retry_after is None for _ in range(requests + 2)]
    assert let_in == [True] * requests + [False] * 2


def test_any_number_of_clients_uses_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "CLIENTS_MAX", 100)
    limit = _limit("1/hour")
    limit.take("seen again and again")
    for number in range(1_000):
        limit.take(str(number))
        assert limit.take("seen again and again").retry_after
    let_in = [limit.take(str(number)).retry_after is None for number in (999, 901, 900, 0)]
    assert let_in == [False, False, True, True], "the longest silent are forgotten"


@pytest.mark.parametrize("text", ["", "10", "10/day", "0/second", "-1/second", "1.5/second", "x/y"])
def test_an_invalid_quota_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 200/second"):
        RequestQuota.parse(text)


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


async def test_a_client_over_its_quota_gets_a_retry_time(serve_api: Any, sql: Any) -> None:
    served = await serve_api(rate_limit_per_address="3/hour")
    async with httpx.AsyncClient(base_url=served.url) as http:
        answers = [await http.post("/payments", json=BODY, headers=_key()) for _ in range(5)]
        probes = [await http.get(path) for path in ("/livez", "/readyz", "/metrics")]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2
    assert [answer.headers["RateLimit"] for answer in answers[:2]] == [
        '"address";r=2;t=1200',
        '"address";r=1;t=2400',
    ]
    refused = answers[-1]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert refused.json()["instance"] == "/payments"
    assert refused.headers["RateLimit-Policy"] == '"address";q=3;w=3600'
    assert 1190 <= int(refused.headers["Retry-After"]) <= 1200
    assert [answer.status_code for answer in probes] == [200] * 3
    assert await sql.fetchval("SELECT count(*) FROM payments") == 3


async def test_a_batch_costs_one_request_per_item(serve_api: Any) -> None:
    served = await serve_api(rate_limit_per_address="10/hour")
    items = [{"idempotencyKey": str(uuid4()), **BODY} for _ in range(12)]
    async with httpx.AsyncClient(base_url=served.url) as http:
        batch = await http.post("/payments/batch", json={"payments": items})
        assert {item["status"] for item in batch.json()["payments"]} == {201}
        refused = await http.get("/payments")
    assert refused.status_code == 429
    assert 700 <= int(refused.headers["Retry-After"]) <= 1080  # Three requests at 360 s each.


async def test_exempt_networks_are_unlimited_and_others_are_separate(serve_api: Any) -> None:
    served = await serve_api(
        rate_limit_per_address="1/hour",
        trusted_proxies="127.0.0.0/8",
        rate_limit_exempt="192.0.2.0/24",
    )

    async def status_for(client: str) -> int:
        return (await http.get("/payments", headers={"X-Forwarded-For": client})).status_code

    async with httpx.AsyncClient(base_url=served.url) as http:
        assert [await status_for("192.0.2.1") for _ in range(3)] == [200] * 3
        assert [await status_for("198.51.100.1") for _ in range(2)] == [200, 429]
        assert [await status_for("198.51.100.2") for _ in range(2)] == [200, 429]
        assert [await status_for(f"2001:db8::{n}") for n in range(2)] == [200, 429]


async def test_the_default_has_no_limit(served: Any) -> None:
    async with httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.get("/payments")
    assert "RateLimit" not in answer.headers


async def test_one_address_cannot_take_all_event_streams(serve_api: Any) -> None:
    served = await serve_api(event_readers_per_address_max=2, trusted_proxies="127.0.0.1")
    async with httpx.AsyncClient(base_url=served.url) as http:

        def stream(client: str) -> Any:
            return http.stream("GET", "/payments/events", headers={"X-Forwarded-For": client})

        async with stream("192.0.2.1") as one, stream("192.0.2.1") as two:
            assert (one.status_code, two.status_code) == (200, 200)
            async with stream("192.0.2.1") as refused:
                await refused.aread()
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
                assert refused.headers["Retry-After"] == "5"
            async with stream("192.0.2.2") as other:
                assert other.status_code == 200
