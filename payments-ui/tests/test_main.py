"""The process: it starts without an API, reports readiness, and stops at once on SIGTERM."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from payments_local.ports import free_port

STOP_SECONDS_MAX = 5.0


@contextmanager
def running_ui(port: int) -> Iterator[subprocess.Popen[bytes]]:
    environ = {"PAYMENTS_UI_PORT": str(port), "PAYMENTS_UI_API_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "payments_ui", "serve"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                if healthcheck(port) == 0:
                    break
                assert process.poll() is None
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def healthcheck(port: int) -> int:
    command = [sys.executable, "-m", "payments_ui", "healthcheck"]
    environ = {"PAYMENTS_UI_PORT": str(port)}
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode


def connection_to(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def test_the_page_is_ready_without_an_api_and_stops_with_open_pages() -> None:
    port = free_port()
    assert healthcheck(port) != 0
    with running_ui(port) as process, closing(connection_to(port)) as page:
        page.request("GET", "/live")
        stream = page.getresponse()
        assert stream.status == 200
        assert b"data: behind" in stream.read(60)
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        stream.read()  # Until the page ends the stream.
        assert process.wait(STOP_SECONDS_MAX) == 0
        assert time.monotonic() - started < STOP_SECONDS_MAX


def test_the_page_answers_503_while_the_api_is_down() -> None:
    port = free_port()
    with running_ui(port), closing(connection_to(port)) as page:
        page.request("GET", "/")
        answer = page.getresponse()
        text = answer.read().decode()
        assert answer.status == 503
        assert "cannot be reached" in text
        assert 'name="idempotencyKey"' in text


def test_a_command_is_required_as_in_the_other_programs() -> None:
    command = [sys.executable, "-m", "payments_ui"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "serve" in done.stdout + done.stderr
