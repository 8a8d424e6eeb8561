"""A real OTLP endpoint, gRPC and HTTP, that keeps received spans."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as wire_grpc

from testkit.network.certificates import Signed, server_context


@dataclass(frozen=True)
class Received:
    """A received span; ids in hex, times in nanoseconds."""

    service: str
    transport: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return (
        [_value(v) for v in value.array_value.values]
        if kind == "array_value"
        else getattr(value, kind)
    )


@dataclass
class OtlpEndpoint:
    """The endpoint for the services' spans; `spans` grows with each export."""

    grpc_port: int
    http_port: int
    scheme: str = "http"
    spans: list[Received] = field(default_factory=list)

    def environ(self, protocol: str) -> dict[str, str]:
        """Return the variables that make a service send its spans here."""
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return {
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{self.scheme}://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    def of_trace(self, trace_id: str) -> list[Received]:
        """Return the spans of one trace, ordered by their beginning."""
        found = [span for span in list(self.spans) if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.start)

    def receive(self, request: Any, transport: str) -> None:
        """Keep the spans of one export."""
        for resource in request.resource_spans:
            about = {a.key: _value(a.value) for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend(
                    Received(
                        about["service.name"],
                        transport,
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        {a.key: _value(a.value) for a in span.attributes},
                        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        span.status.code == 2,
                    )
                    for span in scope.spans
                )


@contextmanager
def otlp_endpoint(
    tls: Signed | None = None, clients_of: Path | None = None
) -> Iterator[OtlpEndpoint]:
    """Run both transports on free ports while the block runs.

    `tls` is their certificate; with `clients_of`, clients need a certificate of that authority.
    """
    endpoint = OtlpEndpoint(0, 0, "https" if tls else "http")

    class Grpc(wire_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            endpoint.receive(request, "grpc")
            return wire.ExportTraceServiceResponse()

    class Http(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces", self.path
            endpoint.receive(wire.ExportTraceServiceRequest.FromString(body), "http")
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    grpc_server = grpc.server(ThreadPoolExecutor(4))
    wire_grpc.add_TraceServiceServicer_to_server(Grpc(), grpc_server)  # type: ignore[no-untyped-call]  # Generated code without types.
    if tls is None:
        endpoint.grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())],
            clients_of.read_bytes() if clients_of else None,
            clients_of is not None,
        )
        endpoint.grpc_port = grpc_server.add_secure_port("127.0.0.1:0", credentials)
    grpc_server.start()
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    if tls is not None:
        http_server.socket = server_context(tls, clients_of).wrap_socket(
            http_server.socket, server_side=True
        )
    endpoint.http_port = http_server.server_address[1]
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        http_server.shutdown()
        http_server.server_close()
        grpc_server.stop(None)
