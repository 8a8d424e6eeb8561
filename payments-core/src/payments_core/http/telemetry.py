"""One light ASGI layer around an app: metrics, the server span and the access log line.

Labels are bounded by construction: a route is one of the app's own rules or `unmatched`, a
method one of HTTP's or `other`, a status what the app answered. An unrecorded request pays
for two counters, a sampling decision and its log line: docs/decisions/0010-own-instrumentation.md.
"""

import logging
from collections.abc import Callable, Sequence
from contextvars import Token
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from prometheus_client import Counter, Gauge, Histogram
from quart import Quart, request

from payments_core.observability.trace_context import context_of, current_trace_id
from payments_core.observability.tracing import tracer

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD, UNMATCHED = "other", "unmatched"
CLIENT_CLOSED_REQUEST = 499  # The client left before the answer began. nginx's status for it.
# Requested every few seconds by machines: no span, and logged at DEBUG only.
PROBES = frozenset({"/health", "/livez", "/readyz", "/metrics"})
PATH_MAX_CHARS = 200  # Of a span's url.path.
KEY_ID = "payments.key_id"  # In the ASGI scope: the public id of the caller's API key, for the log.
ROUTE = "payments.route"  # In the ASGI scope, set when the app has found the route.

REQUESTS = Counter("http_server_requests", "Requests answered.", ["http_route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Until the answer was sent; of an event stream, until it began.",
    ["http_route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_PROGRESS = Gauge("http_server_requests_in_progress", "Requests under way, streams included.")

log = logging.getLogger(__name__)
_Send = Callable[[Any], Any]


@dataclass(slots=True)
class _Answer:
    """A request's answer, as far as it has been sent."""

    status: int = 0
    stream_began_at: float | None = None
    location: str | None = None

    def start(self, message: Any) -> None:
        self.status = message["status"]
        for name, value in message["headers"]:
            if name == b"content-type" and value.startswith(b"text/event-stream"):
                self.stream_began_at = perf_counter()
            elif name == b"location" and self.status == 201:
                self.location = value.decode("latin-1")


class HttpTelemetry:
    """The layer around an app; `install_layers` tells it each request's route."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the request on, and record its answer."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = perf_counter()
        answer = _Answer()

        async def watched_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.start(message)
            await cast(_Send, send)(message)

        span = _start_span(scope)
        token = None if span is None else otel_context.attach(set_span_in_context(span))
        IN_PROGRESS.inc()
        failed = True
        try:
            await self._inner(scope, receive, watched_send)
            failed = False
        finally:
            IN_PROGRESS.dec()
            if not answer.status:
                answer.status = 500 if failed else CLIENT_CLOSED_REQUEST
            self._finish(scope, answer, started, span, token)

    def _finish(
        self,
        scope: HTTPScope,
        answer: _Answer,
        started: float,
        span: Span | None,
        token: Token[Context] | None,
    ) -> None:
        seconds = (answer.stream_began_at or perf_counter()) - started
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        route = cast(dict[str, Any], scope).get(ROUTE, UNMATCHED)
        requests, request_seconds = self._labelled(route, method, answer.status)
        requests.inc()
        trace_id = None if span is None else current_trace_id()
        if trace_id is None:
            request_seconds.observe(seconds)
        else:
            request_seconds.observe(seconds, {"trace_id": trace_id})
        _log_access(scope, answer, route, method, seconds)
        if span is not None and token is not None:
            _end_span(span, scope, route, answer)
            otel_context.detach(token)

    def _labelled(self, route: str, method: str, status: int) -> tuple[Any, Any]:
        # Finding the labels costs prometheus_client more than counting.
        key = (route, method, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = (
                REQUESTS.labels(route, method, status),
                REQUEST_SECONDS.labels(route, method),
            )
        return child


def install_layers(app: Quart, layers: Sequence[Callable[[Any], Any]]) -> None:
    """Put ASGI layers around the app, outermost first; HttpTelemetry is one of them."""
    app.before_request_funcs[None].insert(0, _note_route)
    for layer in reversed(layers):
        cast(Any, app).asgi_app = layer(app.asgi_app)


async def _note_route() -> None:
    rule = request.url_rule
    if rule is not None:
        cast(dict[str, Any], request.scope)[ROUTE] = rule.rule


def _start_span(scope: HTTPScope) -> Span | None:
    tracing = tracer()
    if tracing is None or scope["path"] in PROBES:
        return None
    parent = Context()
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parent = context_of(value.decode("latin-1"))
            break
    return tracing.start_span(scope["method"], context=parent, kind=SpanKind.SERVER)


def _end_span(span: Span, scope: HTTPScope, route: str, answer: _Answer) -> None:
    if span.is_recording():
        known = scope["method"] in METHODS
        host, port = scope.get("server") or ("", None)
        span.set_attributes(
            {
                "http.request.method": scope["method"] if known else "_OTHER",
                "http.response.status_code": answer.status,
                "url.path": scope["path"][:PATH_MAX_CHARS],
                "url.scheme": scope["scheme"],
                "server.address": host,
                "server.port": port or 0,
            }
        )
        if route != UNMATCHED:
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
        elif not known:
            span.update_name("HTTP")
        if answer.status >= 500:
            span.set_attribute("error.type", str(answer.status))
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def _log_access(scope: HTTPScope, answer: _Answer, route: str, method: str, seconds: float) -> None:
    """Log one line without the path, which may hold a client's secrets."""
    level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
    if answer.status >= 500 and route not in PROBES:
        level = logging.ERROR
    if not log.isEnabledFor(level):
        return
    # Built by hand: finding the caller's line takes a third of the time.
    record = logging.LogRecord(log.name, level, "", 0, "http_request", None, None)
    fields = record.__dict__
    fields["method"], fields["route"], fields["status"] = method, route, answer.status
    fields["duration_ms"] = round(seconds * 1000, 2)
    if answer.location:
        fields["location"] = answer.location
    key_id = cast(dict[str, Any], scope).get(KEY_ID)
    if key_id is not None:
        fields["key_id"] = key_id
    log.handle(record)
