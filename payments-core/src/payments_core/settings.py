"""How every service reads its settings: once, at start, from the environment."""

import sys
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, PostgresDsn, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class LogSettings(BaseSettings):
    """What every process reads for its log."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    log_level: Annotated[
        str,
        Field(
            validation_alias="LOG_LEVEL",
            pattern="^(DEBUG|INFO|WARNING|ERROR)$",
            description="DEBUG to ERROR",
        ),
    ] = "INFO"
    log_format: Annotated[
        str,
        Field(
            validation_alias="LOG_FORMAT",
            pattern="^(auto|json|console)$",
            description="auto: readable on a terminal, else one JSON object a line",
        ),
    ] = "auto"


class DatabaseSettings(BaseSettings):
    """What the services with a database connection read for it."""

    database_url: PostgresDsn = Field(
        default=PostgresDsn("postgresql://postgres@localhost:5432/payments"),
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/database",
    )
    database_password_file: Path | None = Field(
        default=None,
        validation_alias="DATABASE_PASSWORD_FILE",
        description="a file that holds the password, in place of the URL's",
    )


def read_settings(settings: type[SettingsT]) -> SettingsT:
    """The settings, or the end of the process with one line for each wrong variable."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors(include_url=False):
            field = str(problem["loc"][0]) if problem["loc"] else "settings"
            name = field if field.isupper() else f"{prefix}{field}".upper()
            print(f"{name}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
        raise SystemExit(2) from None
