"""Settings of the client of payments-api."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from payments_core.config import ExistingFile, is_loopback


def http_url(value: str) -> str:
    """Return the URL without a trailing slash. Raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    return value.rstrip("/")


def _api_key(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    if not value.get_secret_value().isascii() or not value.get_secret_value().isprintable():
        raise ValueError("must be an API key, as payments-api keys create prints it")
    return value


class ApiClientSettings(BaseSettings):
    """Where payments-api is and how to call it; `Settings` adds the rest."""

    api_url: Annotated[
        str, AfterValidator(http_url), Field(description="address of payments-api")
    ] = "http://127.0.0.1:3001"
    api_ca_file: Annotated[
        ExistingFile | None,
        Field(
            description="certificates of the authorities that sign the API's own "
            "(default: the well-known ones)"
        ),
    ] = None
    api_timeout_seconds: Annotated[
        float, Field(gt=0, le=60, description="longest wait for a response of payments-api")
    ] = 5.0
    api_key: Annotated[
        SecretStr | None,
        AfterValidator(_api_key),
        Field(description="the page's own API key, if payments-api requires keys"),
    ] = None
    allow_plaintext_api_key: Annotated[
        bool,
        Field(
            description="send the API key over http:// to another host, in a network that you trust"
        ),
    ] = False

    @model_validator(mode="after")
    def _key_is_protected(self) -> Self:
        api = urlsplit(self.api_url)
        if (
            self.api_key is not None
            and api.scheme == "http"
            and not is_loopback(api.hostname or "")
            and not self.allow_plaintext_api_key
        ):
            raise ValueError(
                f"PAYMENTS_UI_API_URL: {self.api_url} would send the API key unencrypted: use "
                "https://, or set PAYMENTS_UI_ALLOW_PLAINTEXT_API_KEY=true in a network that you "
                "trust"
            )
        return self
