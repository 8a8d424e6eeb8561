"""The settings of limits: for one client, and for all of them together."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from payments_api.limits.quota import RequestQuota
from payments_core.config import Seconds
from payments_core.http.client_address import ForwardedHeader, Network, NetworksText, networks_of
from payments_core.server.options import CONNECTIONS_MAX


def _quota(value: str | None) -> str | None:
    if value is None or not value.strip():
        return None
    RequestQuota.parse(value)
    return value


QuotaText = Annotated[str | None, AfterValidator(_quota)]


class LimitSettings(BaseSettings):
    """The limits among the API's settings."""

    connections_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=CONNECTIONS_MAX,
        description="open connections; one more closes the one that has been idle longest",
    )
    requests_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=512,
        description="requests of clients in progress; further ones are answered 503",
    )
    latency_target_seconds: Seconds = Field(
        default=0.2,
        description="target latency: while the fastest request exceeds it, the concurrency limit"
        " shrinks",
    )
    event_readers_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1_000, description="event streams open at once"
    )
    event_readers_per_address_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=100, description="event streams open at once for one address"
    )
    event_readers_per_key_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=100, description="event streams open at once for one API key"
    )
    rate_limit_per_key: QuotaText = Field(
        default=None,
        description="requests of one API key in each process, such as 200/second or 5000/hour"
        " (default: no limit)",
    )
    rate_limit_per_address: QuotaText = Field(
        default=None,
        description="requests of one client address, or one IPv6 network of 64 bits, in each"
        " process (default: no limit)",
    )
    rate_limit_exempt: NetworksText = Field(
        default="",
        description="networks exempt from the limit by address, such as the page's: 10.0.0.0/8,::1",
    )
    trusted_proxies: NetworksText = Field(
        default="", description="networks of proxies whose forwarding header is trusted"
    )
    forwarded_header: ForwardedHeader = Field(
        default="x-forwarded-for",
        description="the forwarding header of trusted proxies: x-forwarded-for or forwarded",
    )

    @property
    def key_quota(self) -> RequestQuota | None:
        """The quota of one API key."""
        return RequestQuota.parse(self.rate_limit_per_key) if self.rate_limit_per_key else None

    @property
    def address_quota(self) -> RequestQuota | None:
        """The quota of one address."""
        return (
            RequestQuota.parse(self.rate_limit_per_address) if self.rate_limit_per_address else None
        )

    @property
    def exempt_networks(self) -> tuple[Network, ...]:
        """The networks exempt from the limit by address."""
        return networks_of(self.rate_limit_exempt)

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """The networks of trusted proxies."""
        return networks_of(self.trusted_proxies)
