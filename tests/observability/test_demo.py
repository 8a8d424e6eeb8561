"""`make demo` never acts on a system that it did not start."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import asyncpg
import pytest
from demo.system import _wait_until_ready

from payments_local.errors import LocalError
from payments_local.ports import free_port
from payments_local.postgres import running_postgres

SECONDS_MAX = 60.0


class Stranger(HTTPServer):
    """A server that answers probes like a running system of another clone."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AlwaysReady)
        self.requests: list[str] = []


class _AlwaysReady(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.requests.append(self.requestline)
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - http.server's own name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _demo(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    names = ("API_PORT", "UI_PORT", "WORKER_PORT", "PG_PORT", "PROMETHEUS_PORT")
    ports = {name: str(free_port()) for name in names}
    return subprocess.run(
        [sys.executable, "-m", "demo", "--rate", "20", "--seconds", "3", *words],
        env={**os.environ, **ports, **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.mark.parametrize("name", ["UI_PORT", "API_PORT", "PG_PORT"])
def test_a_demo_sends_nothing_to_another_running_system(stranger: Stranger, name: str) -> None:
    ended = _demo(**{name: str(stranger.server_port)})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: port {stranger.server_port} is taken"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert stranger.requests == []


def test_a_demo_rejects_a_page_served_by_another_process(stranger: Stranger) -> None:
    ends_at_once = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(LocalError, match="ended before it was ready"):
        _wait_until_ready(stranger.server_port, ends_at_once)


async def test_a_demo_uses_its_own_database(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running_postgres() as server:
        ended = _demo("--data-dir", str(folder), DATABASE_URL=server.url)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "http_request" not in ended.stdout + ended.stderr, "it would hide the addresses"
        assert "/operate. Ctrl-C stops it." in ended.stdout
        other = await asyncpg.connect(server.url)
        assert await other.fetchval("SELECT to_regclass('payments')") is None
        await other.close()
    with running_postgres(folder) as server:
        own = await asyncpg.connect(server.url)
        assert await own.fetchval("SELECT count(*) FROM payments") > 0
        await own.close()
