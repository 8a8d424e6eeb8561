"""The settings of a connection to Postgres, for the services that have one."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from payments_core.config import ExistingFile
from payments_core.db.tls import checked_tls
from payments_core.db.url import checked_url


def _checked_url(url: str) -> str:
    checked_tls(checked_url(url))
    return url


class DatabaseSettings(BaseSettings):
    """Where the database is, and the password."""

    database_url: Annotated[str, AfterValidator(_checked_url)] = Field(
        default="postgresql://postgres@localhost:5432/payments",
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/database, and over a network"
        " ?sslmode=verify-full&sslrootcert=FILE",
    )
    database_password_file: ExistingFile | None = Field(
        default=None,
        validation_alias="DATABASE_PASSWORD_FILE",
        description="a file that holds the password, in place of the URL's",
    )
