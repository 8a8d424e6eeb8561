"""The API's settings, read once from the environment at start."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from payments_api.limits.settings import LimitSettings
from payments_core.config import LogSettings, Port, Seconds, is_loopback
from payments_core.db.settings import DatabaseSettings
from payments_core.domain.statements import FILE_BYTES_MAX
from payments_core.http.hosts import HostNames

# Connections of the pool beyond those that insert: one for notices, one for the event feed and the
# API keys, one for operators and readiness.
RESERVED_CONNECTIONS = 3


class ApiSettings(LimitSettings, DatabaseSettings, LogSettings):
    """PAYMENTS_API_*, and the settings that all services share."""

    model_config = SettingsConfigDict(env_prefix="PAYMENTS_API_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="the address on which the API listens")
    port: Port = Field(default=3001, description="the API's port")
    control_port: Port | None = Field(
        default=None,
        description="the port of /livez, /readyz and /metrics (default: the API's port)",
    )
    reuse_port: bool = Field(
        default=False,
        description="let several processes listen on this port; the kernel spreads connections",
    )
    auth: Literal["on", "off"] = Field(
        default="on",
        description="on: every request needs an API key, except for probes, metrics and documents;"
        " off: requests need no key and may do everything",
    )
    allow_unauthenticated_remote: bool = Field(
        default=False,
        validate_default=True,
        description="allow PAYMENTS_API_AUTH=off on an address that other machines can reach;"
        " only where something else restricts access",
    )
    allowed_hosts: HostNames = Field(
        default="",
        description="with PAYMENTS_API_AUTH=off: host names, comma-separated, that requests may"
        " name besides this machine's; .example.com matches every subdomain",
    )
    pool_size: Annotated[int, Field(ge=4, le=100)] = Field(
        default=10, description="connections in the pool to Postgres"
    )
    insert_concurrency: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1,
        validate_default=True,
        description="concurrent statements that create payments, at most 3 fewer than POOL_SIZE",
    )
    create_queue_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2_000,
        description="payments that may wait to be written; further ones are answered 503",
    )
    cursor_key: Annotated[str, Field(min_length=16)] | None = Field(
        default=None,
        description="secret that signs paging cursors; replicas must share it (default: derived"
        " from DATABASE_URL and its password)",
    )
    statement_bytes_max: Annotated[int, Field(ge=1, le=64 * 1024**3)] = Field(
        default=FILE_BYTES_MAX, description="size of the largest statement file that is accepted"
    )
    statement_day_bytes_max: Annotated[int, Field(ge=1, le=1024**5)] = Field(
        default=10 * 1024**3,
        description="bytes of statement files that one tenant may upload within 24 hours; files"
        " imported by command count too",
    )
    statement_day_files_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1_000,
        description="statement files that one tenant may upload within 24 hours; files imported by"
        " command count too",
    )
    shutdown_delay_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        default=0.0, description="how long to keep serving after readiness fails"
    )
    drain_seconds: Seconds = Field(
        default=5.0, description="how long a stop waits for requests in progress"
    )

    @property
    def read_connections_max(self) -> int:
        """The connections that clients' reads may hold together."""
        return max(1, self.pool_size - self.insert_concurrency - RESERVED_CONNECTIONS)

    @field_validator("insert_concurrency")
    @classmethod
    def _fits_the_pool(cls, concurrency: int, info: ValidationInfo) -> int:
        pool_size = info.data.get("pool_size", concurrency + RESERVED_CONNECTIONS)
        if concurrency > pool_size - RESERVED_CONNECTIONS:
            raise ValueError(
                f"must be at most PAYMENTS_API_POOL_SIZE - {RESERVED_CONNECTIONS}"
                f" ({pool_size - RESERVED_CONNECTIONS}): the other connections serve notices,"
                " API keys and operators"
            )
        return concurrency

    @field_validator("allow_unauthenticated_remote")
    @classmethod
    def _is_confirmed(cls, allowed: bool, info: ValidationInfo) -> bool:
        host = info.data.get("host", "localhost")
        if info.data.get("auth") == "off" and not allowed and not is_loopback(host):
            raise ValueError(
                f"PAYMENTS_API_AUTH=off would let any client that reaches {host} create payments:"
                " set PAYMENTS_API_AUTH=on, or set this to true if access is restricted elsewhere"
            )
        return allowed
