"""Traces: where spans are sent, and which are recorded. Off unless OTEL_* enables them.

An exporter that is down, slow or refusing does not affect payments: a thread sends spans from a
bounded queue, which drops spans when full, and logs.py passes one line a minute about it.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    SpanKind,
    Tracer,
    TraceState,
)
from opentelemetry.util.types import Attributes
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from payments_core.config import read_settings
from payments_core.observability.collector import when_named

DEFAULT_SAMPLED_RATIO = 0.01  # One payment in a hundred represents all of them.
BATCH_LINKS_MAX = 10_000  # A batch span links every job of the largest batch that a worker claims.
FLUSH_SECONDS_MAX = 2.0  # A stop must not wait for an exporter that is down.

JOBS_QUEUE = "recon_jobs"  # messaging.destination.name, where jobs are sent and processed.

_CERTIFICATES = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
_SAMPLERS = "always_on|always_off|traceidratio"


class TelemetrySettings(BaseSettings):
    """The OTEL_* variables read here; the SDK reads the others, such as headers and limits."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    sdk_disabled: bool = Field(
        default=False, validation_alias="OTEL_SDK_DISABLED", description="true: no traces at all"
    )
    traces_exporter: Annotated[str, Field(pattern="^(otlp|none)$")] = Field(
        default="otlp", validation_alias="OTEL_TRACES_EXPORTER", description="otlp or none"
    )
    endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="where traces are sent, such as http://localhost:4318; unset: nowhere",
    )
    traces_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="the same, with its full path, for traces alone",
    )
    protocol: Annotated[str, Field(pattern="^(grpc|http/protobuf)$")] = Field(
        default="http/protobuf",
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="grpc or http/protobuf",
    )
    sampler: Annotated[str, Field(pattern=f"^(parentbased_)?({_SAMPLERS})$")] | None = Field(
        default=None,
        validation_alias="OTEL_TRACES_SAMPLER",
        description="which traces are recorded (default: parentbased_traceidratio)",
    )
    sampler_arg: Annotated[float, Field(ge=0, le=1)] = Field(
        default=DEFAULT_SAMPLED_RATIO,
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
        description="the ratio of the traceidratio samplers",
    )

    @property
    def exports(self) -> bool:
        """Whether an endpoint for spans is set."""
        return self.traces_exporter == "otlp" and bool(self.endpoint or self.traces_endpoint)

    @property
    def wanted(self) -> bool:
        """Whether to trace. A sampler without an endpoint still provides ids for rows and logs."""
        return not self.sdk_disabled and (self.exports or self.sampler is not None)


class LinkedOr(Sampler):
    """Records a root span that links a recorded one, regardless of `other`.

    A worker's batch span begins a separate trace: without this, the payment that is traced
    would seldom find the batch that settled it.
    """

    def __init__(self, other: Sampler) -> None:
        self._other = other

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Record when any link is recorded; else as the other sampler decides."""
        if links and any(link.context.trace_flags.sampled for link in links):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._other.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """For the SDK's debug output."""
        return f"LinkedOr{{{self._other.get_description()}}}"


@dataclass(slots=True)
class _Process:
    tracer: Tracer | None = None


_process = _Process()


def tracer() -> Tracer | None:
    """Return the process's tracer, or None if tracing is off."""
    return _process.tracer


@contextmanager
def tracing(
    service: str, version: str, processors: Sequence[SpanProcessor] | None = None
) -> Iterator[None]:
    """Trace according to the OTEL_* settings while the block runs; then flush, briefly.

    Begins once the collector's name resolves. `processors` stand in for the exporter in tests.
    """
    settings = read_settings(TelemetrySettings)
    if not settings.wanted and processors is None:
        yield
        return
    provider = TracerProvider(
        sampler=_sampler(settings),
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        resource=Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version}).merge(
            OTELResourceDetector().detect()
        ),
        span_limits=SpanLimits(max_links=BATCH_LINKS_MAX),
        shutdown_on_exit=False,
    )
    if processors is None:
        processors = [BatchSpanProcessor(_exporter(settings))] if settings.exports else []
    for processor in processors:
        provider.add_span_processor(processor)
    stopping = threading.Event()

    def begin() -> None:
        if not stopping.is_set():
            _process.tracer = provider.get_tracer("payments", version)

    endpoint = settings.traces_endpoint or settings.endpoint
    if settings.exports and endpoint:
        when_named(endpoint, begin, stopping)
    else:
        begin()
    try:
        yield
    finally:
        stopping.set()
        _process.tracer = None
        # The SDK's own bound is half a minute; its exporters retry for longer still.
        flush = threading.Thread(target=provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS_MAX)


def _sampler(settings: TelemetrySettings) -> Sampler:
    name = settings.sampler or "parentbased_traceidratio"
    plain = name.removeprefix("parentbased_")
    root: Sampler = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF}.get(
        plain, LinkedOr(TraceIdRatioBased(settings.sampler_arg))
    )
    return root if plain == name else ParentBased(root)


def _exporter(settings: TelemetrySettings) -> SpanExporter:
    """Return the configured exporter, without importing the other (each import takes 0.1 s)."""
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter

        return grpc_exporter.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter
    from requests import Session

    session = Session()
    # REQUESTS_CA_BUNDLE, which many sites set for every program, would take precedence over the
    # certificate of the collector.
    session.trust_env = not any(os.environ.get(name) for name in _CERTIFICATES)
    return http_exporter.OTLPSpanExporter(session=session)


def messaging_attributes(operation: str, operation_type: str) -> dict[str, str | int]:
    """Return the attributes that every span of the job queue has (semantic conventions)."""
    return {
        "messaging.system": "postgresql",
        "messaging.destination.name": JOBS_QUEUE,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation_type,
    }
