"""Settings of the client of payments-api."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from payments_core.config import ExistingFile


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
        str, AfterValidator(http_url), Field(description="where payments-api answers")
    ] = "http://127.0.0.1:3001"
    api_ca_file: Annotated[
        ExistingFile | None,
        Field(
            description="certificates of the authorities that an https:// API may have its own"
            " from (default: the well-known ones)"
        ),
    ] = None
    api_timeout_seconds: Annotated[
        float, Field(gt=0, le=60, description="longest wait for one answer of payments-api")
    ] = 5.0
    api_key: Annotated[
        SecretStr | None,
        AfterValidator(_api_key),
        Field(description="the page's own key to payments-api, where that asks for keys"),
    ] = None
