"""Rate limits: a quota for each client, refilled evenly, counted by this process alone.

The algorithm is throttled-py's generic cell rate algorithm (ITU-T I.371), which keeps one number
for each client: the time at which its quota is full again. See docs/decisions/0021-rate-limits.md.
"""

import math
from datetime import timedelta
from typing import NamedTuple

from throttled import MemoryStore, RateLimiterType, Throttled, rate_limiter, utils

from payments_api.http.errors import RateLimited
from payments_api.limits.quota import RequestQuota

CLIENTS_MAX = 100_000  # Beyond it the least recently seen client is forgotten.
# A request costs so many units. The library adds fractions of seconds, whose rounding must not
# refuse the last request of a quota: one unit more than the quota makes up for it. A unit is a
# hundredth of a request, and 10 ms at the most.
UNITS_MIN = 100
UNIT_SECONDS_MAX = 0.01
ROUNDING_SECONDS = 1e-6


class LimitDecision(NamedTuple):
    """A rate limit's decision on a request; `retry_after` is None if it admits the request."""

    limit: "RateLimit"
    remaining: int
    full_in_seconds: float
    retry_after: int | None

    def problem(self) -> RateLimited:
        """Return the refusal: the quota that was exceeded, and when to retry."""
        quota, wait = self.limit.quota, self.retry_after or 1
        return RateLimited(
            f"Each {self.limit.name} may send {quota.requests} requests in {quota.seconds} s;"
            f" retry in {wait} s.",
            headers={"Retry-After": str(wait)},
        )

    def headers(self) -> tuple[bytes, bytes]:
        """Return RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
        left = self.remaining, math.ceil(self.full_in_seconds - ROUNDING_SECONDS)
        return self.limit.policy, b'"%s";r=%d;t=%d' % (self.limit.name.encode(), *left)


class RateLimit:
    """One quota for each client; `name` identifies it in headers and metrics."""

    def __init__(self, name: str, quota: RequestQuota) -> None:
        self.name = name
        self.quota = quota
        self.policy = f'"{name}";q={quota.requests};w={quota.seconds}'.encode()
        self._seconds_each = quota.seconds / quota.requests
        self._store = MemoryStore(options={"MAX_SIZE": CLIENTS_MAX})
        self._cost = max(UNITS_MIN, math.ceil(self._seconds_each / UNIT_SECONDS_MAX))
        units = quota.requests * self._cost
        self._throttled = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=rate_limiter.per_duration(timedelta(seconds=quota.seconds), units, units + 1),
            store=self._store,
            key_prefix=name,
        )

    def take(self, client: str) -> LimitDecision:
        """Charge the client one request unless its quota is used up."""
        result = self._throttled.limit(client, cost=self._cost)
        state = result.state
        retry_after = max(1, math.ceil(state.retry_after)) if result.limited else None
        return LimitDecision(
            self, max(0, state.remaining // self._cost), state.reset_after, retry_after
        )

    def charge(self, client: str, requests: int) -> None:
        """Charge an admitted request more, such as a batch for its items.

        The balance may become negative: the client's next request waits until it is repaid. The
        library rejects a charge above the quota, so the time is advanced in its store.
        """
        key = f"{self.name}:v1:{RateLimiterType.GCRA.value}:{client}"
        now = utils.now_mono_f()
        full_at = max(now, float(self._store.get(key) or now)) + requests * self._seconds_each
        self._store.set(key, full_at, math.ceil(full_at - now))
