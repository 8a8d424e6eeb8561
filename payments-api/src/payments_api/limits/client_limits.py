"""Each client's standing with its quotas: by address before anything else, by key once known."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from payments_api.limits.rate_limit import RateLimit, Standing
from payments_api.limits.settings import LimitSettings
from payments_core.http.client_address import ClientAddresses, is_within, limited_as

STANDINGS = "payments.standings"  # In the ASGI scope, for the answer's headers.
KEY = "payments.limited_key"  # There too: the API key that the request was counted for.


class ClientLimits:
    """The rate limits of one process; each is None where no setting asks for it."""

    def __init__(self, settings: LimitSettings) -> None:
        self._addresses = ClientAddresses(settings.trusted_networks, settings.forwarded_header)
        self._exempt = settings.exempt_networks
        self._counted_as = lru_cache(maxsize=4096)(self._look_up)
        by_address, by_key = settings.address_quota, settings.key_quota
        self.by_address = RateLimit("address", by_address) if by_address else None
        self.by_key = RateLimit("key", by_key) if by_key else None

    @property
    def wanted(self) -> bool:
        """Whether any rate is limited."""
        return self.by_address is not None or self.by_key is not None

    def address_of(self, scope: Mapping[str, Any]) -> str:
        """The client's address, as it is counted."""
        return limited_as(self._addresses.of(scope))

    def take_address(self, scope: dict[str, Any]) -> Standing | None:
        """Count the request for its address; the standing that refuses it, if one does."""
        address = self._limited_address(scope)
        if self.by_address is None or address is None:
            return None
        return _noted(scope, self.by_address.take(address))

    def take_key(self, scope: dict[str, Any], key_id: str) -> Standing | None:
        """The same for the API key that it came with."""
        if self.by_key is None:
            return None
        scope[KEY] = key_id
        return _noted(scope, self.by_key.take(key_id))

    def owe(self, scope: Mapping[str, Any], requests: int) -> None:
        """Count so many more for a request that was let in, such as the items of a batch."""
        address = self._limited_address(scope)
        if self.by_address is not None and address is not None:
            self.by_address.owe(address, requests)
        if self.by_key is not None and KEY in scope:
            self.by_key.owe(scope[KEY], requests)

    def _limited_address(self, scope: Mapping[str, Any]) -> str | None:
        if self.by_address is None:
            return None
        return self._counted_as(self._addresses.of(scope))

    def _look_up(self, address: str) -> str | None:
        return None if is_within(address, self._exempt) else limited_as(address)


def _noted(scope: dict[str, Any], standing: Standing) -> Standing | None:
    scope.setdefault(STANDINGS, []).append(standing)
    return standing if standing.retry_after is not None else None
