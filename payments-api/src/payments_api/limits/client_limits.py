"""The rate limits of clients: by address first, by API key once it is known."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from payments_api.limits.rate_limit import LimitDecision, RateLimit
from payments_api.limits.settings import LimitSettings
from payments_core.http.client_address import ClientAddresses, is_within, limited_as

DECISIONS = "payments.limit_decisions"  # In the ASGI scope, for the answer's headers.
KEY = "payments.limited_key"  # In the ASGI scope: the API key that the request was charged to.


class ClientLimits:
    """The rate limits of one process; each is None unless a setting enables it."""

    def __init__(self, settings: LimitSettings) -> None:
        self._addresses = ClientAddresses(settings.trusted_networks, settings.forwarded_header)
        self._exempt = settings.exempt_networks
        self._counted_as = lru_cache(maxsize=4096)(self._look_up)
        by_address, by_key = settings.address_quota, settings.key_quota
        self.by_address = RateLimit("address", by_address) if by_address else None
        self.by_key = RateLimit("key", by_key) if by_key else None

    @property
    def enabled(self) -> bool:
        """Whether any rate limit is enabled."""
        return self.by_address is not None or self.by_key is not None

    def address_of(self, scope: Mapping[str, Any]) -> str:
        """Return the client's address, as limits count it."""
        return limited_as(self._addresses.of(scope))

    def take_address(self, scope: dict[str, Any]) -> LimitDecision | None:
        """Charge the request to its address; return the decision if it refuses the request."""
        address = self._limited_address(scope)
        if self.by_address is None or address is None:
            return None
        return _noted(scope, self.by_address.take(address))

    def take_key(self, scope: dict[str, Any], key_id: str) -> LimitDecision | None:
        """Do the same for the request's API key."""
        if self.by_key is None:
            return None
        scope[KEY] = key_id
        return _noted(scope, self.by_key.take(key_id))

    def charge(self, scope: Mapping[str, Any], requests: int) -> None:
        """Charge an admitted request more, such as a batch for its items."""
        address = self._limited_address(scope)
        if self.by_address is not None and address is not None:
            self.by_address.charge(address, requests)
        if self.by_key is not None and KEY in scope:
            self.by_key.charge(scope[KEY], requests)

    def _limited_address(self, scope: Mapping[str, Any]) -> str | None:
        if self.by_address is None:
            return None
        return self._counted_as(self._addresses.of(scope))

    def _look_up(self, address: str) -> str | None:
        return None if is_within(address, self._exempt) else limited_as(address)


def _noted(scope: dict[str, Any], decision: LimitDecision) -> LimitDecision | None:
    scope.setdefault(DECISIONS, []).append(decision)
    return decision if decision.retry_after is not None else None
