"""TLS to Postgres: report a failure, or a missing protection, in one line.

asyncpg reads sslmode, sslrootcert, sslcert and sslkey from the URL, or PGSSLMODE and the like from
the environment, as libpq does.
"""

import logging
import os
import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from payments_core.config import is_loopback

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
VERIFYING = ("verify-ca", "verify-full")
# A parameter of the URL, and its environment variable.
_FILES = {"sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}
_HOME_ROOT = Path(".postgresql/root.crt")

# OpenSSL's X509_V_ERR_*.
_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_NAME = (62, 64)
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)

log = logging.getLogger(__name__)


class DatabaseTlsError(ConnectionError):
    """The connection to the database is less secure than the settings require."""


def tls_mode(url: str) -> str:
    """Return the sslmode of connections to this URL; the default is prefer."""
    return _query_of(url).get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"


def checked_tls(url: str) -> None:
    """Check that the files that TLS needs exist. Raises ValueError, which says what to do."""
    mode = tls_mode(url)
    if mode not in SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")
    query = _query_of(url)
    named = {name: query.get(name) or os.environ.get(name_) for name, name_ in _FILES.items()}
    if mode in VERIFYING and not named["sslrootcert"] and not (Path.home() / _HOME_ROOT).exists():
        raise ValueError(
            f"sslmode={mode} needs sslrootcert=FILE with the authority's certificate"
            " (or PGSSLROOTCERT)"
        )
    for name, file in named.items():
        if file and mode != "disable" and not os.access(file, os.R_OK):
            raise ValueError(f"{name} names {file}, which cannot be read")


def warn_without_tls(url: str) -> None:
    """Warn once, at start, that the connection is unencrypted or unverified."""
    mode = tls_mode(url)
    if mode not in VERIFYING and not all(map(_is_here, _hosts_of(url))):
        log.warning(
            "database_unverified",
            extra={
                "sslmode": mode,
                "hint": "others on the network could read or pretend to be the database:"
                " set sslmode=verify-full and sslrootcert in DATABASE_URL",
            },
        )


def tls_problem(error: BaseException, where: str) -> DatabaseTlsError | None:
    """Return what to do about a TLS error, or None for another error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return DatabaseTlsError(f"{where}: {_certificate_problem(error)}")
    if isinstance(error, ssl.SSLError):
        return DatabaseTlsError(
            f"{where}: TLS failed ({error.reason or error}): does the server want a client"
            " certificate (sslcert, sslkey), or an older version of TLS?"
        )
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return DatabaseTlsError(
            f"{where}: the server speaks no TLS, and sslmode asks for it: set ssl=on there,"
            " or, on a network that you trust, sslmode=disable here"
        )
    return None


def _certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    reason = error.verify_message.rstrip(".")
    if error.verify_code in _WRONG_NAME:
        return (
            f"the server's certificate is not for this host ({reason}): use the name that is"
            " in it, or give the server one for this name"
        )
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return f"{reason} (the server's, or its authority's): renew it, or set the clock"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            f"the server's certificate is of an unknown authority ({reason}): sslrootcert must"
            " name the certificate of the authority that signed it"
        )
    return f"the server's certificate was refused: {reason}"


def _query_of(url: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


def _hosts_of(url: str) -> list[str]:
    """Return the hosts, without ports."""
    text = urlsplit(url).netloc.rpartition("@")[2] or _query_of(url).get("host", "")
    hosts = []
    for part in unquote(text).split(","):
        host, colon, port = part.rpartition(":")
        hosts.append(host if colon and (port.isdigit() or not port) else part)
    return hosts


def _is_here(host: str) -> bool:
    return not host or host.startswith("/") or is_loopback(host.strip("[]"))
