"""Where to listen and what serves: had, or refused in one line."""

import socket
import sys
from collections.abc import Iterator

import pytest
from quart import Quart

from payments_core.server.run import (
    CannotListen,
    CannotServe,
    Lifecycle,
    ServeOptions,
    listening_socket,
    serve,
)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that another process of the same kind has, and shares with whoever asks."""
    with listening_socket(ServeOptions("127.0.0.1", 0, 1, reuse_port=True)) as listener:
        listener.listen()
        yield listener


def test_a_port_is_shared_only_with_those_who_ask(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address"):
        listening_socket(ServeOptions("127.0.0.1", port, 1))
    with listening_socket(ServeOptions("127.0.0.1", port, 1, reuse_port=True)) as another:
        assert another.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_refused_by_name(host: str) -> None:
    with pytest.raises(CannotListen) as refused:
        listening_socket(ServeOptions(host, 1, 1))
    shown = f"[{host}]" if ":" in host else host
    assert str(refused.value).startswith(f"cannot listen on {shown}:1: ")


@pytest.mark.parametrize("package", ["uvicorn", "httptools"])
async def test_a_server_that_is_not_installed_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    for name in list(sys.modules):
        if name.startswith(("payments_core.uvicorn", "uvicorn", "httptools")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    options = ServeOptions("127.0.0.1", 0, 1, server="uvicorn")
    with pytest.raises(CannotServe, match=f"needs the package {package}: install") as refused:
        await serve(Quart(__name__), options, Lifecycle())
    assert "\n" not in str(refused.value)
