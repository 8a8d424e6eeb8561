"""Spans of HTTP calls between the services, and the header that propagates them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span

from payments_core.observability.trace_context import traceparent_of_span
from payments_core.observability.tracing import tracer


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `span` is None outside a trace."""

    span: Span | None

    def headers(self, more: Mapping[str, str] | None = None) -> Mapping[str, str] | None:
        """Return the headers to send: `more` and traceparent.

        Also where nothing is recorded: the called service must not sample anew.
        """
        if self.span is None:
            return more
        return {**(more or {}), "traceparent": traceparent_of_span(self.span)}

    def answered(self, status: int) -> None:
        """Record the answer's status on the span."""
        if self.span is not None and self.span.is_recording():
            self.span.set_attribute("http.response.status_code", status)
            if status >= 400:
                self.span.set_attribute("error.type", str(status))
                self.span.set_status(Status(StatusCode.ERROR))


@contextmanager
def calling(method: str, base_url: str, path: str) -> Iterator[Call]:
    """Open a client span within the current trace; none outside one, as in the background."""
    active = tracer()
    if active is None or not get_current_span().get_span_context().is_valid:
        yield Call(None)
        return
    span = active.start_span(method, kind=SpanKind.CLIENT)
    if span.is_recording():
        called = urlsplit(base_url)
        span.set_attributes(
            {
                "http.request.method": method,
                "url.full": f"{base_url.rstrip('/')}{path}",
                "server.address": called.hostname or "",
                "server.port": called.port or (443 if called.scheme == "https" else 80),
            }
        )
    try:
        yield Call(span)
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()
