"""Settings of the page: environment variables, read once at start."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from payments_core.config import LogSettings, Port, is_loopback
from payments_core.server.options import CONNECTIONS_MAX
from payments_ui.api.settings import ApiClientSettings, http_url
from payments_ui.sign_in.settings import SignInSettings

SECRET_MIN_CHARS = 16  # A shorter key could be guessed, and cookies forged with it.


def _trace_url(value: str | None) -> str | None:
    if value is None or not value.strip():
        return None
    if "{trace_id}" not in value:
        raise ValueError("must contain {trace_id}")
    return http_url(value)


def _docs_url(value: str | None) -> str | None:
    return http_url(value) if value else None


def _secret(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    if len(value.get_secret_value()) < SECRET_MIN_CHARS:
        raise ValueError(f"must have at least {SECRET_MIN_CHARS} characters")
    return value


class Settings(SignInSettings, ApiClientSettings, LogSettings):
    """All settings; the defaults suit one machine."""

    model_config = SettingsConfigDict(env_prefix="PAYMENTS_UI_", frozen=True, extra="ignore")

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Field(description="port to listen on")] = 3000
    control_port: Annotated[
        Port | None,
        Field(description="port of /livez, /readyz and /metrics (default: the page's port)"),
    ] = None
    trace_url: Annotated[
        str | None,
        AfterValidator(_trace_url),
        Field(description="address of a trace in your trace UI, with {trace_id} in it"),
    ] = None
    docs_url: Annotated[
        str | None,
        AfterValidator(_docs_url),
        Field(
            description="address of this release's folder docs/, in which {version} may stand. "
            "Absent: the page names files instead of linking to them"
        ),
    ] = None
    secret_key: Annotated[
        SecretStr | None,
        AfterValidator(_secret),
        Field(
            description="signs cookies and forms; the same for all replicas. "
            "Absent: a random one for each process"
        ),
    ] = None
    shutdown_delay_seconds: Annotated[
        float,
        Field(ge=0, le=300, description="how long to serve after readiness fails"),
    ] = 0.0
    drain_seconds: Annotated[
        float, Field(ge=0, le=300, description="longest wait for running requests at the end")
    ] = 5.0
    connections_max: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="open connections; one more closes the one that has been idle longest",
        ),
    ] = CONNECTIONS_MAX
    live_interval_seconds: Annotated[
        float,
        Field(ge=0.05, le=10, description="shortest time between two updates of an open page"),
    ] = 0.5
    live_pages_max: Annotated[
        int, Field(ge=1, le=100_000, description="open pages with live updates in one process")
    ] = 1000

    @model_validator(mode="after")
    def _not_open_by_mistake(self) -> Self:
        if (
            self.sign_in == "off"
            and not self.allow_unauthenticated_remote
            and not is_loopback(self.host)
        ):
            raise ValueError(
                f"PAYMENTS_UI_SIGN_IN: off would let every visitor of {self.host} create payments "
                "and operate: set it to password or oidc, or set "
                "PAYMENTS_UI_ALLOW_UNAUTHENTICATED_REMOTE=true if a proxy in front of the page "
                "authenticates visitors"
            )
        return self

    @model_validator(mode="after")
    def _credentials_are_encrypted(self) -> Self:
        """Check that passwords and session cookies cross a network only over https."""
        if self.sign_in == "off" or self.https:
            return self
        seen_at = urlsplit(self.public_url).hostname if self.public_url else self.host
        if not is_loopback(seen_at or ""):
            raise ValueError(
                "PAYMENTS_UI_PUBLIC_URL: people would sign in unencrypted: set it to the page's "
                "https:// address, or to http://localhost:PORT if only browsers on this machine "
                "reach the page"
            )
        return self
