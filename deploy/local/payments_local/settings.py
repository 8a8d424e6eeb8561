"""Addresses and the data folder, read once from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from payments_core.db.url import read_url
from payments_local.errors import LocalError

REPOSITORY = Path(__file__).resolve().parents[3]
PORT_MAX, PORT_DIGITS_MAX = 65_535, 5


@dataclass(frozen=True)
class LocalSettings:
    """One local run. `database_url` is None if the embedded Postgres is used."""

    api_port: int = 3001
    ui_port: int = 3000
    worker_port: int = 3002
    pg_port: int = 5432
    database_url: str | None = None
    data_dir: Path = REPOSITORY / ".data"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "LocalSettings":
        """Read API_PORT, UI_PORT, WORKER_PORT, PG_PORT, DATABASE_URL and DATA_DIR.

        Raises LocalError that names the variable, for an invalid URL or port or a port used twice.
        """
        settings = cls(
            api_port=_port(environ, "API_PORT", cls.api_port),
            ui_port=_port(environ, "UI_PORT", cls.ui_port),
            worker_port=_port(environ, "WORKER_PORT", cls.worker_port),
            pg_port=_port(environ, "PG_PORT", cls.pg_port),
            database_url=_database_url(environ),
            data_dir=Path(environ.get("DATA_DIR") or cls.data_dir).resolve(),
        )
        _refuse_a_port_used_twice(settings.ports())
        return settings

    def ports(self) -> dict[str, int]:
        """Return the ports of this run, by the variable that sets each."""
        ports = {
            "API_PORT": self.api_port,
            "WORKER_PORT": self.worker_port,
            "UI_PORT": self.ui_port,
        }
        return ports if self.database_url else {"PG_PORT": self.pg_port, **ports}

    def url_for(self, role: str) -> str:
        """Return a role's database URL: on our own server, with its least-privileged role."""
        return self.database_url or f"postgresql://{role}@127.0.0.1:{self.pg_port}/payments"


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("DATABASE_URL") or None
    if url is not None:
        try:
            read_url(url)
        except ValueError as error:
            raise LocalError(f"DATABASE_URL {error}") from None
    return url


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (
        text.isascii()
        and text.isdigit()
        and len(text) <= PORT_DIGITS_MAX
        and 0 < int(text) <= PORT_MAX
    ):
        raise LocalError(f"{name}={text!r} is not a port: give a number from 1 to {PORT_MAX}")
    return int(text)


def _refuse_a_port_used_twice(ports: Mapping[str, int]) -> None:
    names: dict[int, str] = {}
    for name, port in ports.items():
        if port in names:
            raise LocalError(f"{names[port]} and {name} are both {port}: give each its own port")
        names[port] = name
