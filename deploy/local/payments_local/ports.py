"""Port checks: whether a port is free, and which process holds it."""

import errno
import secrets
import socket
from collections.abc import Mapping

import psutil

from payments_local.errors import LocalError

LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
CONNECT_SECONDS_MAX = 0.5
# Below the range of ephemeral ports, so that no outgoing connection can take one.
FREE_PORT_MIN, FREE_PORT_MAX = 16_384, 32_768
_given: set[int] = set()


def refuse_taken(ports: Mapping[str, int]) -> None:
    """Raise LocalError for the first taken port, with its variable and, if visible, its holder."""
    for name, port in ports.items():
        try:
            taken = is_taken(port)
        except PermissionError:
            raise LocalError(
                f"port {port} is reserved for root here: choose one above 1023 with {name}=..."
            ) from None
        if taken:
            raise LocalError(
                f"port {port} is taken{_by_whom(port)}: stop that, or choose another port"
                f" with {name}=..."
            )


def is_taken(port: int) -> bool:
    """Return whether a process listens on either loopback address.

    Both are checked: `localhost` may mean either, and a client must not reach another server.
    """
    for family, host in LOOPBACKS:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Servers set it too: closing connections of an earlier run do not block the port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except PermissionError:
            raise
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            continue  # This machine has no IPv6.
        if _answers(family, host, port):  # BSDs let a bind succeed beside a wildcard listener.
            return True
    return False


def free_port() -> int:
    """Return a port that was free a moment ago, another one each time.

    The caller must be prepared to lose a race for it.
    """
    while True:
        port = FREE_PORT_MIN + secrets.randbelow(FREE_PORT_MAX - FREE_PORT_MIN)
        if port not in _given and not is_taken(port):
            _given.add(port)
            return port


def _answers(family: int, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS_MAX)
        if probe.connect_ex((host, port)) != 0:
            return False
        # Linux may connect a socket to itself on an ephemeral port, without any listener.
        return bool(probe.getsockname() != probe.getpeername())


def _by_whom(port: int) -> str:
    """Return ' by NAME (pid N)', or '' if the holder belongs to another user."""
    try:
        connections = psutil.net_connections(kind="tcp")
        for connection in connections:
            listening = connection.status == psutil.CONN_LISTEN
            if listening and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
