"""How often one client may ask: a quota for each, refilled evenly, kept by this process alone.

The generic cell rate algorithm (ITU-T I.371): of each client one number is kept, the moment at
which its quota would be full again. Why not a library: docs/decisions/rate-limits.md.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

CLIENTS_MAX = 100_000  # Remembered at once, some 20 MB; beyond it the longest silent is forgotten.
ROUNDING_SECONDS = 1e-9  # Sums of fractions are not exact.
_UNITS = {"second": 1, "minute": 60, "hour": 3600}
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
        return cls(int(matched[1]), _UNITS[matched[2].lower()])


class Standing(NamedTuple):
    """Where a client stands after a request; `retry_after` is None when it was let in."""

    limit: "RateLimit"
    remaining: int
    full_in_seconds: float
    retry_after: int | None

    def headers(self) -> tuple[bytes, bytes]:
        """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
        left = self.remaining, math.ceil(self.full_in_seconds)
        return self.limit.policy, b'"%s";r=%d;t=%d' % (self.limit.name.encode(), *left)


class RateLimit:
    """One quota for each client; `name` is what headers and metrics call it."""

    def __init__(self, name: str, quota: Quota, clock: Callable[[], float] = monotonic) -> None:
        self.name = name
        self.quota = quota
        self._clock = clock
        self.policy = f'"{name}";q={quota.requests};w={quota.seconds}'.encode()
        self._seconds_each = quota.seconds / quota.requests
        # In the order of their last request, so that the first is the longest silent.
        self._full_at: dict[str, float] = {}

    def take(self, client: str) -> Standing:
        """Count one request of the client, unless its quota is used up."""
        now = self._clock()
        full_at = max(self._full_at.pop(client, now), now)
        would_be = full_at + self._seconds_each
        over = would_be - now - self.quota.seconds
        retry_after = None
        if over > ROUNDING_SECONDS:
            would_be, retry_after = full_at, max(1, math.ceil(over))
        self._keep(client, would_be)
        wait = would_be - now
        left = int((self.quota.seconds - wait) / self._seconds_each + 1e-6)
        return Standing(self, max(0, left), wait, retry_after)

    def owe(self, client: str, requests: int) -> None:
        """Count more, now known, of a request that was let in, such as a batch's items.

        May go below nothing: the client's next request waits until that is paid back.
        """
        now = self._clock()
        full_at = max(self._full_at.pop(client, now), now)
        self._keep(client, full_at + requests * self._seconds_each)

    def _keep(self, client: str, full_at: float) -> None:
        self._full_at[client] = full_at
        if len(self._full_at) > CLIENTS_MAX:
            del self._full_at[next(iter(self._full_at))]
