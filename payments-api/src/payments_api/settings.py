"""The API's settings, read once from the environment at start."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from payments_api.limits.settings import LimitSettings
from payments_core.config import DatabaseSettings, LogSettings, Port, Seconds
from payments_core.http.client_address import is_loopback


class ApiSettings(LimitSettings, DatabaseSettings, LogSettings):
    """PAYMENTS_API_* and what all services share."""

    model_config = SettingsConfigDict(env_prefix="PAYMENTS_API_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="where the API listens")
    port: Port = Field(default=3001, description="the API's port")
    reuse_port: bool = Field(
        default=False,
        description="let several processes listen on this port; the kernel spreads connections",
    )
    auth: Literal["on", "off"] = Field(
        default="on",
        description="on: every request needs an API key, but for probes, metrics and documents;"
        " off: anybody may do everything",
    )
    auth_off_beyond_loopback: bool = Field(
        default=False,
        validate_default=True,
        description="lets PAYMENTS_API_AUTH=off start on an address that other machines may"
        " reach: only where something else keeps them away",
    )
    pool_size: Annotated[int, Field(ge=4, le=100)] = Field(
        default=10, description="connections to Postgres"
    )
    write_lanes: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1, description="statements that create payments under way at once"
    )
    waiting_creates_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2_000, description="payments waiting to be written before new ones get 503"
    )
    cursor_key: Annotated[str, Field(min_length=16)] | None = Field(
        default=None,
        description="signs paging cursors; replicas must share it (default: derived from"
        " DATABASE_URL and its password)",
    )
    shutdown_delay_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        default=0.0, description="how long to serve on after readiness fails"
    )
    drain_seconds: Seconds = Field(
        default=5.0, description="how long a stop waits for requests under way"
    )

    @field_validator("auth_off_beyond_loopback")
    @classmethod
    def _said_twice(cls, said: bool, info: ValidationInfo) -> bool:
        host = info.data.get("host", "localhost")
        if info.data.get("auth") == "off" and not said and not is_loopback(host):
            raise ValueError(
                f"PAYMENTS_API_AUTH=off would let anybody who reaches {host} pay: set this to true"
                " as well if nobody else can, or PAYMENTS_API_AUTH to on"
            )
        return said
