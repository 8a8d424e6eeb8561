"""How often one client may ask: a quota for each, refilled evenly, kept by this process alone.

By throttled-py's generic cell rate algorithm (ITU-T I.371): of each client one number is kept, the
moment at which its quota would be full again. Why this one: docs/decisions/0021-rate-limits.md.
"""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from throttled import MemoryStore, RateLimiterType, Throttled, rate_limiter, utils

CLIENTS_MAX = 100_000  # Remembered at once; beyond it the longest silent is forgotten.
# A request costs so many units. The library adds fractions of seconds, whose rounding must not
# refuse the last request of a quota: one unit more than the quota makes up for it. A unit is a
# hundredth of a request, and 10 ms at the most.
UNITS_MIN = 100
UNIT_SECONDS_MAX = 0.01
ROUNDING_SECONDS = 1e-6
_PERIODS = {"second": 1, "minute": 60, "hour": 3600}
_QUOTA = re.compile(r"\s*(\d{1,9})\s*/\s*(second|minute|hour)s?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quota:
    """So many requests in so many seconds; as many may come at once after a silence."""

    requests: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Quota":
        """From "200/second", "1000/minute". Raises ValueError."""
        matched = _QUOTA.fullmatch(text)
        if matched is None or int(matched[1]) < 1:
            raise ValueError("write it as 200/second, 1000/minute or 5000/hour")
        return cls(int(matched[1]), _PERIODS[matched[2].lower()])


class Standing(NamedTuple):
    """Where a client stands after a request; `retry_after` is None when it was let in."""

    limit: "RateLimit"
    remaining: int
    full_in_seconds: float
    retry_after: int | None

    def headers(self) -> tuple[bytes, bytes]:
        """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
        left = self.remaining, math.ceil(self.full_in_seconds - ROUNDING_SECONDS)
        return self.limit.policy, b'"%s";r=%d;t=%d' % (self.limit.name.encode(), *left)


class RateLimit:
    """One quota for each client; `name` is what headers and metrics call it."""

    def __init__(self, name: str, quota: Quota) -> None:
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

    def take(self, client: str) -> Standing:
        """Count one request of the client, unless its quota is used up."""
        result = self._throttled.limit(client, cost=self._cost)
        state = result.state
        retry_after = max(1, math.ceil(state.retry_after)) if result.limited else None
        return Standing(self, max(0, state.remaining // self._cost), state.reset_after, retry_after)

    def owe(self, client: str, requests: int) -> None:
        """Count more, now known, of a request that was let in, such as a batch's items.

        May go below nothing: the client's next request waits until that is paid back. The
        library refuses what is more than a quota, so the moment is moved on in its store.
        """
        key = f"{self.name}:v1:{RateLimiterType.GCRA.value}:{client}"
        now = utils.now_mono_f()
        full_at = max(now, float(self._store.get(key) or now)) + requests * self._seconds_each
        self._store.set(key, full_at, math.ceil(full_at - now))
