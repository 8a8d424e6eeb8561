"""The settings of a connection to Postgres, for the services that have one."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings

from payments_core.config import ExistingFile, Port
from payments_core.db.tls import checked_tls
from payments_core.db.url import checked_url

PORT_DEFAULT = 5432


def _checked_url(url: str) -> str:
    checked_tls(checked_url(url))
    return url


def _port_or_default(value: Any) -> Any:
    return value or PORT_DEFAULT  # An empty variable is an unset one, as for make.


def _url_on_this_machine(settings: dict[str, Any]) -> str:
    port = settings.get("pg_port", PORT_DEFAULT)
    return f"postgresql://postgres@localhost:{port}/payments"


class DatabaseSettings(BaseSettings):
    """Where the database is, and the password."""

    pg_port: Annotated[Port, BeforeValidator(_port_or_default)] = Field(
        default=PORT_DEFAULT,
        validation_alias="PG_PORT",
        description="the port in the default of DATABASE_URL; ignored if DATABASE_URL is set",
    )
    database_url: Annotated[str, AfterValidator(_checked_url)] = Field(
        default_factory=_url_on_this_machine,
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/database, and over a network"
        " ?sslmode=verify-full&sslrootcert=FILE",
    )
    database_password_file: ExistingFile | None = Field(
        default=None,
        validation_alias="DATABASE_PASSWORD_FILE",
        description="a file that holds the password, in place of the URL's",
    )
