"""The spans of a payment's creation: one that sends its job, one for the shared statement.

A statement that serves one recorded request runs in that request's trace. One that serves
several has a trace of its own, which links them all, and each of them gets a span of the
statement's time that links back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from payments_core.db.telemetry import statement_attributes
from payments_core.http.problems import Problem
from payments_core.observability.trace_context import traceparent_of_span
from payments_core.observability.tracing import JOBS_QUEUE, messaging_attributes, tracer


@dataclass(frozen=True, slots=True)
class SendSpan:
    """The trace context that a payment's row keeps; `span` is None if it is not recorded."""

    traceparent: str | None
    span: Span | None = None


@contextmanager
def sending(payments: int, traceparent: str | None) -> Iterator[SendSpan]:
    """Open the span under which payments are stored; its context goes into their rows.

    An unrecorded request leaves its client's `traceparent`, if any, in the row.
    """
    active = tracer()
    if active is None or not get_current_span().is_recording():
        yield SendSpan(traceparent)
        return
    span = active.start_span(
        f"send {JOBS_QUEUE}",
        kind=SpanKind.PRODUCER,
        attributes={
            **messaging_attributes("send", "send"),
            "messaging.batch.message_count": payments,
        },
    )
    try:
        yield SendSpan(traceparent_of_span(span), span)
    except BaseException as error:
        code = error.code if isinstance(error, Problem) else type(error).__name__
        span.set_attribute("error.type", code)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()


@contextmanager
def writing(spans: Sequence[Span], statement: str, payments: int) -> Iterator[None]:
    """Put the block's statement into the traces of the requests that it serves."""
    active = tracer()
    senders = list(dict.fromkeys(spans))
    if active is None or not senders:
        yield
        return
    began = time_ns()
    attributes: dict[str, str | int] = {
        **statement_attributes(statement),
        "db.operation.batch.size": payments,
    }
    links = [Link(sender.get_span_context()) for sender in senders]
    name = str(attributes["db.query.summary"])
    own = len(senders) == 1
    shared = active.start_span(
        name,
        context=set_span_in_context(senders[0], Context()) if own else Context(),
        kind=SpanKind.CLIENT,
        links=() if own else links,
        attributes=attributes,
    )
    try:
        yield
    except BaseException as error:
        shared.set_attribute("error.type", getattr(error, "sqlstate", type(error).__name__))
        shared.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        ended = time_ns()
        shared.end(ended)
        link = Link(shared.get_span_context())
        for sender in () if own else senders:
            context = set_span_in_context(sender, Context())
            mine = active.start_span(
                name, context, SpanKind.CLIENT, attributes, [link], start_time=began
            )
            mine.end(ended)
