"""DATABASE_URL as libpq reads it: each part is applied, or rejected at start by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

CONNECT_TIMEOUT_SECONDS = 5
CONNECT_TIMEOUT_SECONDS_MAX = 60  # Every wait is bounded.
# Closes the connection to a silent peer after about 20 seconds, even between statements.
TCP_OPTIONS: Mapping[str, int] = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 15_000,  # Milliseconds until sent bytes must be acknowledged.
}

# The parameters that asyncpg reads. It would send any other one to the server as a setting.
_ASYNCPGS = frozenset(
    {
        *("host", "port", "dbname", "user", "password", "passfile", "options"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("krbsrvname", "gsslib", "service"),
    }
)
# The socket option, and its largest value.
_TCP = {
    "keepalives_idle": ("TCP_KEEPIDLE", 600),
    "keepalives_interval": ("TCP_KEEPINTVL", 600),
    "keepalives_count": ("TCP_KEEPCNT", 100),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT", 600_000),
}
# Parameters whose listed values match the fixed behaviour; other values are rejected.
_CHOICES = {
    "keepalives": (("1",), "connections are always kept alive"),
    "channel_binding": (("disable", "prefer"), "the driver does not bind channels"),
    "target_session_attrs": (
        ("any", "read-write", "primary"),
        "every program needs a server that takes writes",
    ),
    "gssencmode": (("disable", "prefer"), "the driver does not encrypt by GSSAPI"),
    "client_encoding": (("utf8", "UTF8", "auto"), "every session is in UTF-8"),
}
_SCHEME = re.compile(r"postgres(ql)?(\+asyncpg)?://")
_FORM = "must be postgresql://user:password@host:port/database"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A checked URL. `dsn` is for asyncpg; `host` may be the folder of a socket."""

    dsn: str
    host: str
    port: int
    database: str
    timeout_seconds: float
    tcp_options: Mapping[str, int]

    @property
    def where(self) -> str:
        """Return host and port, for messages."""
        return f"{self.host}:{self.port}"


def read_url(text: str) -> DatabaseUrl:
    """Return the parsed URL. Raises ValueError, whose text never quotes the URL's secrets."""
    parts = _split(text)
    # If the URL repeats a name, the last one counts, as for libpq.
    query = dict(_query(parts))
    tcp_options = dict(TCP_OPTIONS)
    timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    for name, value in list(query.items()):
        if name == "connect_timeout":
            timeout_seconds = _whole(name, query.pop(name), CONNECT_TIMEOUT_SECONDS_MAX)
        elif name in _TCP:
            option, most = _TCP[name]
            tcp_options[option] = _whole(name, query.pop(name), most)
        elif name in _CHOICES:
            _check_choice(name, query.pop(name))
        elif name == "application_name":
            raise ValueError("must not set application_name: each program sets its own")
        elif name not in _ASYNCPGS:
            raise ValueError(
                f"does not take the parameter {name[:40]!r}; settings of the server go into"
                " options=-c%20NAME%3DVALUE"
            )
        elif not value:
            raise ValueError(f"must give {name} a value")
    # `connect_to_primary` asks the server itself; asyncpg would believe a pooler's old report.
    query["target_session_attrs"] = "any"
    host, port = _address(parts, query)
    database = unquote(parts.path.removeprefix("/")) or query.get("dbname", "")
    path = parts.path if len(parts.path) > 1 else ""  # asyncpg would ask for the database "".
    dsn = parts._replace(scheme="postgresql", path=path, query=urlencode(query)).geturl()
    return DatabaseUrl(dsn, host, port, database, timeout_seconds, tcp_options)


def checked_url(text: str) -> str:
    """Return the URL itself. Raises ValueError as `read_url` does."""
    read_url(text)
    return text


def dsn_with_password(url: str, password_file: Path | None) -> str:
    """Return the URL, its password taken from the file when one is named.

    Raises OSError when the file cannot be read.
    """
    if password_file is None:
        return url
    password = quote(password_file.read_text().strip(), safe="")
    parts = urlsplit(url)
    sign_in, _, address = parts.netloc.rpartition("@")
    user = sign_in.partition(":")[0]
    return parts._replace(netloc=f"{user}:{password}@{address}").geturl()


def _split(text: str) -> SplitResult:
    if not _SCHEME.match(text) or any(character <= " " for character in text):
        raise ValueError(_FORM)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_FORM) from None
    # An unescaped / ? or # in a password ends the host too early.
    rest = (parts.path, parts.query, parts.fragment)
    if any("@" in part for part in rest) or parts.netloc.count("@") > 1:
        raise ValueError("must have / ? # and @ in user and password written as %2F %3F %23 %40")
    if parts.fragment or "/" in parts.path.removeprefix("/"):
        raise ValueError(_FORM)
    return parts


def _query(parts: SplitResult) -> list[tuple[str, str]]:
    try:
        return parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("must have its parameters as ?name=value&name=value") from None


def _address(parts: SplitResult, query: Mapping[str, str]) -> tuple[str, int]:
    """Return the one host, or folder of a socket, and the port."""
    netloc = parts.netloc.rpartition("@")[2]
    host, colon, port = netloc.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = netloc, ""
    host = unquote(host).strip("[]") or query.get("host", "localhost")
    port = port or query.get("port", "5432")
    if "," in host or "," in port or "," in netloc:
        raise ValueError(
            "must name one host: an address that leads to the primary, such as a service's"
        )
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("must have a port from 1 to 65535")
    return host, int(port)


def _whole(name: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= most):
        raise ValueError(f"must have {name} as a whole number from 1 to {most}")
    return int(value)


def _check_choice(name: str, value: str) -> None:
    taken, because = _CHOICES[name]
    if value not in taken:
        raise ValueError(f"must have {name} as {' or '.join(taken)}: {because}")
