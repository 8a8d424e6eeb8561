"""Metrics of the connection pool, and a span for each statement of a recorded trace."""

import re
from functools import lru_cache
from time import perf_counter
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from payments_core.observability.tracing import tracer

POOL_WAIT_SECONDS = Histogram(
    "db_pool_wait_seconds",
    "Until a connection was got from the pool, made anew where none was idle.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
POOL_TIMEOUTS = Counter("db_pool_timeouts", "Times that no connection became free in time.")

_VERB = re.compile(
    r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?!(?:SET|SKIP|NOWAIT)\b)([a-z_]+)", re.IGNORECASE
)
_FROM = re.compile(r"\bFROM\s+([a-z_]+)", re.IGNORECASE)


class MeasuredPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool with measured waits.

    Sessions opened up to `doubted_at`, on the monotonic clock, are replaced before their next use.
    """

    doubted_at = float("-inf")

    def connect(self) -> PoolProxiedConnection:
        """Return a connection of the pool. Raises sqlalchemy.exc.TimeoutError."""
        began = perf_counter()
        try:
            return super().connect()
        except PoolTimeoutError:
            POOL_TIMEOUTS.inc()
            raise
        finally:
            POOL_WAIT_SECONDS.observe(perf_counter() - began)


class _PoolGauges(Collector):
    """Gauges that a scrape reads, so that using a connection costs nothing extra."""

    def __init__(self, pool: MeasuredPool) -> None:
        self._pool = pool

    def collect(self) -> list[GaugeMetricFamily]:
        used = self._pool.checkedout()
        connections = GaugeMetricFamily(
            "db_pool_connections", "Connections of the pool, by state.", labels=["state"]
        )
        connections.add_metric(["used"], used)
        connections.add_metric(["idle"], self._pool.checkedin())
        largest = GaugeMetricFamily(
            "db_pool_connections_max",
            "Connections that the pool may have.",
            value=self._pool.size(),
        )
        return [connections, largest]


def register_pool_metrics(engine: AsyncEngine) -> None:
    """Register the metrics of the engine's pool."""
    assert isinstance(engine.pool, MeasuredPool), "create_engine made it"
    REGISTRY.register(_PoolGauges(engine.pool))


@lru_cache(maxsize=512)
def summary_of(statement: str) -> tuple[str, str]:
    """Return (operation, summary) of a statement: ("INSERT", "INSERT payments, INSERT recon_jobs").

    The summary is db.query.summary of the semantic conventions: no values, few different ones.
    """
    changes = [
        f"{verb.split()[0].upper()} {table.lower()}" for verb, table in _VERB.findall(statement)
    ]
    if changes:
        return changes[0].split()[0], ", ".join(dict.fromkeys(changes))
    first = statement.split(None, 1)[0].upper() if statement.strip() else "SQL"
    operation = "SELECT" if first == "WITH" else first
    table = _FROM.search(statement)
    return operation, f"{operation} {table[1].lower()}" if table else operation


def statement_attributes(statement: str) -> dict[str, str]:
    """Return the attributes of the statement's client span; it contains no values."""
    operation, summary = summary_of(statement)
    return {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.query.summary": summary,
        "db.query.text": statement,
    }


def trace_statements(engine: AsyncEngine) -> None:
    """Record a client span for each statement within a recorded span.

    Does nothing without tracing; an unrecorded statement costs one look at the context.
    """
    if tracer() is None:
        return
    url = engine.url
    where: dict[str, str | int] = {
        "db.namespace": url.database or "",
        "server.address": url.host or "",
        "server.port": url.port or 5432,
    }

    def before(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _m: Any) -> None:
        active = tracer()
        if active is None or not get_current_span().is_recording():
            return
        attributes: dict[str, str | int] = {**statement_attributes(statement), **where}
        context.payments_span = active.start_span(
            str(attributes["db.query.summary"]), kind=SpanKind.CLIENT, attributes=attributes
        )

    def after(_c: Any, _cursor: Any, _s: str, _p: Any, context: Any, _m: Any) -> None:
        span: Span | None = getattr(context, "payments_span", None)
        if span is not None:
            span.end()

    def failed(problem: Any) -> None:
        span: Span | None = getattr(problem.execution_context, "payments_span", None)
        if span is not None and span.is_recording():
            error = problem.original_exception
            span.set_attribute("error.type", getattr(error, "sqlstate", type(error).__name__))
            span.set_status(Status(StatusCode.ERROR))
            span.end()

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    event.listen(engine.sync_engine, "handle_error", failed)
