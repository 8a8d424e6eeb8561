"""An exporter that is down, silent or rejecting affects no payment, and is logged once a minute."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from testkit.observability.load import pay
from testkit.observability.observed_system import Observed, Process

PAYMENTS = 60
STOP_SECONDS_MAX = 12.0  # Two seconds for the flush; the rest allows for a busy machine.


@contextmanager
def unused_port() -> Iterator[int]:
    """Return a port on which no process listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Return a port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@contextmanager
def rejecting_port() -> Iterator[int]:
    """Run a server that answers 503 to every request."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


Trouble = Callable[[], AbstractContextManager[int]]
CASES: tuple[tuple[Trouble, str], ...] = (
    (unused_port, "grpc"),
    (silent_port, "http/protobuf"),
    (rejecting_port, "http/protobuf"),
)


def pay_with_exporter_in_trouble(observed: Observed, trouble: Trouble, protocol: str) -> Process:
    """Create payments on an API with that exporter, and stop the API."""
    with trouble() as port:
        api = observed.system.add(
            f"{getattr(trouble, '__name__', '')}-{protocol[:4]}",
            "payments_api",
            "serve",
            OTEL_TRACES_SAMPLER="always_on",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_BSP_MAX_QUEUE_SIZE="64",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16",
        )
        with httpx.Client(base_url=api.url, timeout=20) as client:
            answers = [pay(client, f"acc-{n % 7}", "1.00") for n in range(PAYMENTS)]
        assert {answer.status_code for answer in answers} == {201}
        time.sleep(1.5)  # Longer than an export's timeout.
        assert api.stop() < STOP_SECONDS_MAX, "the stop waited for the exporter"
    return api


def test_exporter_trouble_does_not_affect_payments(observed: Observed) -> None:
    with ThreadPoolExecutor(len(CASES)) as pool:
        running = [
            pool.submit(pay_with_exporter_in_trouble, observed, trouble, protocol)
            for trouble, protocol in CASES
        ]
        apis = [future.result() for future in running]
    silent = 0
    for api in apis:
        logged = [line for line in api.events() if line["logger"].startswith("opentelemetry")]
        silent += not logged
        assert len(logged) <= 1, (api.name, logged)
        assert {line["event"] for line in logged} <= {"telemetry_failed"}
        others = [line for line in api.events() if line not in logged]
        assert not any(line["level"] in ("error", "critical") for line in others), api.name
    assert silent < len(apis), "the loss of traces is not logged"
