"""Limits of password attempts: for each address, and for all addresses together.

Uses throttled-py's generic cell rate algorithm, like the API's rate limits. Attempts are counted in
this process, so several replicas together allow a multiple of each limit.
"""

from datetime import timedelta

from throttled import MemoryStore, RateLimiterType, Throttled, rate_limiter

from payments_core.http.client_address import limited_as

PER_ADDRESS_ATTEMPTS = 5  # In a burst; then one every PER_ADDRESS_SECONDS.
PER_ADDRESS_SECONDS = 60.0
ALL_ATTEMPTS = 50  # Slows an attacker with many addresses, and bounds the work of hashing.
ALL_SECONDS = 1.0
ADDRESSES_MAX = (
    10_000  # The most recent addresses; one that is forgotten starts again with all attempts.
)
# Units that one attempt costs. The limit is one unit above the quota, because the library sums
# fractions of seconds, whose rounding must not reject the last attempt.
ATTEMPT_UNITS = 100
ALL_ADDRESSES = "all"
ALGORITHM = RateLimiterType.GCRA.value


def _limiter(name: str, attempts: int, seconds_each: float, store: MemoryStore) -> Throttled:
    units = attempts * ATTEMPT_UNITS
    period = timedelta(seconds=attempts * seconds_each)
    quota = rate_limiter.per_duration(period, units, units + 1)
    return Throttled(using=ALGORITHM, quota=quota, store=store, key_prefix=name)


class Throttle:
    """Counts attempts before passwords are checked, so that concurrent ones are counted too."""

    def __init__(self) -> None:
        """Start without counted attempts."""
        self._address_store = MemoryStore(options={"MAX_SIZE": ADDRESSES_MAX})
        self._of_address = _limiter(
            "address", PER_ADDRESS_ATTEMPTS, PER_ADDRESS_SECONDS, self._address_store
        )
        self._of_all = _limiter(ALL_ADDRESSES, ALL_ATTEMPTS, ALL_SECONDS, MemoryStore())

    def take(self, address: str) -> float:
        """Count an attempt and return 0.0; if none is left, return the seconds to wait.

        A rejected attempt is not counted: one address cannot use up the limit of all addresses.
        """
        left = self._of_all.peek(ALL_ADDRESSES).remaining
        if left < ATTEMPT_UNITS:
            return (1 - left / ATTEMPT_UNITS) * ALL_SECONDS
        attempt = self._of_address.limit(limited_as(address), cost=ATTEMPT_UNITS)
        if attempt.limited:
            return attempt.state.retry_after
        self._of_all.limit(ALL_ADDRESSES, cost=ATTEMPT_UNITS)
        return 0.0

    def reset(self, address: str) -> None:
        """Forget an address's attempts after a successful sign-in."""
        # The library has no call for this, so write its key: docs/decisions/0021-rate-limits.md.
        # The value is the time when all attempts are back.
        self._address_store.set(f"address:v1:{ALGORITHM}:{limited_as(address)}", 0, timeout=1)
