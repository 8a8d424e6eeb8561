"""Settings: each service reads them once, at start, from the environment."""

import logging
import os
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]

# Their values are never printed: a database's URL may hold a password.
SECRET_WORDS = ("DATABASE_URL", "KEY", "SECRET", "PASSWORD")


def _file(path: Path) -> Path:
    # With pydantic's own FilePath, a name that is too long for the system ends the process.
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):
        pass
    raise ValueError("must be the path of a file")


ExistingFile = Annotated[Path, AfterValidator(_file)]

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

# Variables that Kubernetes sets for a Service with a service's name.
_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP)")
# Variables with a service's prefix that other programs read, such as `validate`.
_READ_ELSEWHERE = {"PAYMENTS_API_KEY"}

log = logging.getLogger(__name__)


@lru_cache(maxsize=256)  # Called for the Host of each request, too.
def is_loopback(host: str) -> bool:
    """Return whether the host, a name or an address, is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class LogSettings(BaseSettings):
    """The settings of a process's log."""

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


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as documented; default is '' if it has none."""

    name: str
    default: str
    description: str


def variables_of(settings: type[BaseSettings]) -> list[Variable]:
    """Return the variables that the settings read, in their order."""
    prefix = settings.model_config.get("env_prefix", "")
    variables = []
    for field_name, field in settings.model_fields.items():
        alias = field.validation_alias
        name = alias if isinstance(alias, str) else f"{prefix}{field_name}".upper()
        default_value = field.get_default(call_default_factory=True, validated_data={})
        default = "" if default_value is None else str(default_value)
        if isinstance(default_value, bool):
            default = default.lower()
        variables.append(Variable(name, default, field.description or ""))
    return variables


def settings_help(settings: type[BaseSettings]) -> str:
    """Return the list of variables that ends a command's --help."""
    lines = ["Environment variables:"]
    for variable in variables_of(settings):
        default = f" (default: {variable.default})" if variable.default else ""
        lines += [f"  {variable.name}", f"      {variable.description}{default}"]
    return "\n".join(lines)


def read_settings(settings: type[SettingsT]) -> SettingsT:
    """Return the settings, or exit with status 2 and one line for each wrong variable."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors(include_url=False):
            if problem["type"] == "default_factory_not_called":
                continue  # A default that follows from other variables, one of which is wrong.
            if not problem["loc"]:
                # An error of several together. The message names them; the input would hold all
                # of them, secrets included.
                print(problem["ctx"]["error"], file=sys.stderr)
                continue
            field = str(problem["loc"][0])
            name = field if field.isupper() else f"{prefix}{field}".upper()
            secret = any(word in name for word in SECRET_WORDS)
            got = "" if secret else f" (got {problem['input']!r})"
            # pydantic announces the text of a validator's ValueError; users need the text alone.
            message = problem["msg"].removeprefix("Value error, ")
            print(f"{name}: {message}{got}", file=sys.stderr)
        raise SystemExit(2) from None


def warn_of_unknown_variables(settings: BaseSettings) -> None:
    """Warn once, at start, of variables with the settings' prefix that no setting reads.

    A misspelt setting has no effect. The service starts anyway: an older release, in a rollback,
    does not know every variable of a newer one.
    """
    prefix = str(settings.model_config.get("env_prefix", ""))
    known = [variable.name for variable in variables_of(type(settings))]
    unknown = [
        name
        for name in sorted(os.environ)
        if name.upper().startswith(prefix)
        and name.upper() not in {*known, *_READ_ELSEWHERE}
        and not _SERVICE_LINK.match(name.upper().removeprefix(prefix))
    ]
    if unknown:
        log.warning(
            "unknown_settings_ignored",
            extra={"variables": ", ".join(_with_suggestion(name, known) for name in unknown)},
        )


def _with_suggestion(name: str, known: list[str]) -> str:
    meant = get_close_matches(name.upper(), known, n=1, cutoff=0.85)
    return f"{name} (did you mean {meant[0]}?)" if meant else name
