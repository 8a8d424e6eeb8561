"""Listening: a socket is opened, or the error is reported in one line."""

import socket
from collections.abc import Iterator

import pytest

from payments_core.server.options import CannotListen, ServeOptions
from payments_core.server.run import listening_socket


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Open a socket that shares its port with processes that also set reuse_port."""
    with listening_socket(ServeOptions("127.0.0.1", 0, 1, reuse_port=True)) as listener:
        listener.listen()
        yield listener


def test_a_port_is_shared_only_if_both_processes_allow_it(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address"):
        listening_socket(ServeOptions("127.0.0.1", port, 1))
    with listening_socket(ServeOptions("127.0.0.1", port, 1, reuse_port=True)) as another:
        assert another.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_rejected_by_name(host: str) -> None:
    with pytest.raises(CannotListen) as refused:
        listening_socket(ServeOptions(host, 1, 1))
    shown = f"[{host}]" if ":" in host else host
    assert str(refused.value).startswith(f"cannot listen on {shown}:1: ")
