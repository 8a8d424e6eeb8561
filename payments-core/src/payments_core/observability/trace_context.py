"""Trace context: W3C traceparents, read and written, and the trace being recorded."""

import re
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_PROPAGATOR = TraceContextTextMapPropagator()
_ODD = tuple("13579bdf")  # The last hex digit of the flags; its lowest bit is "sampled".


class _DictGetter(Getter[Mapping[str, str]]):
    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key)
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_GETTER = _DictGetter()


def valid_traceparent(value: str | None) -> str | None:
    """Return the header's value if it is valid (W3C Trace Context, level 1)."""
    return value if value and _TRACEPARENT.match(value) else None


def context_of(traceparent: str) -> Context:
    """Return the context of a W3C traceparent; an empty one if it is invalid."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context(), _GETTER)


def traceparent_of_span(span: Span) -> str:
    """Return the W3C traceparent (level 1) with which others continue this span's trace."""
    context = span.get_span_context()
    ids = f"{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"
    return f"00-{ids}-{context.trace_flags.sampled:02x}"


def is_sampled(traceparent: str) -> bool:
    """Return whether the trace is recorded, from the text alone: called for every job."""
    return traceparent.endswith(_ODD)


def trace_id_of(traceparent: str) -> str:
    """Return the trace's id, from the text alone."""
    return traceparent[3:35]


def current_trace_id() -> str | None:
    """Return the id of the trace being recorded, for exemplars; None if none is."""
    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.trace_flags.sampled else None
