"""Tracing: the destination of spans, sampling, and a batch's links to its payments."""

import logging
import socket
import threading
import time

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, get_current_span

from payments_core.db.telemetry import summary_of
from payments_core.observability import collector, trace_context, tracing
from payments_core.queue.jobs import CLAIM, ENQUEUE

RECORDED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_RECORDED = RECORDED[:-1] + "0"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDK_DISABLED", "TRACES_EXPORTER", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)


def test_tracing_is_off_by_default() -> None:
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
)
def test_traces_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    if name == "OTEL_SDK_DISABLED":
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv(name, value)
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is None


def test_a_sampler_without_an_endpoint_gives_ids_and_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    with tracing.tracing("a-service", "1"):
        tracer = tracing.tracer()
        assert tracer is not None
        assert tracer.start_span("here").is_recording()
    assert tracing.tracer() is None


def test_tracing_begins_once_the_collectors_name_resolves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With compose, the collector's profile may start later or never."""
    present = threading.Event()

    def lookup(*_: object) -> list[object]:
        if not present.is_set():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(collector, "LOOKUP_INTERVAL_SECONDS", 0.01)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4318")
    caplog.set_level(logging.INFO)
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is None
        assert [r.message for r in caplog.records] == ["collector_awaited"]
        present.set()
        deadline = time.monotonic() + 10
        while tracing.tracer() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert tracing.tracer() is None


def test_a_slow_resolver_does_not_delay_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def lookup(*_: object) -> list[object]:
        answer.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(collector, "FIRST_LOOKUP_SECONDS_MAX", 0.05)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4318")
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is None
    answer.set()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "otel-collector:4317"])
def test_tracing_begins_at_once_if_no_name_needs_resolving(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is not None


def test_a_proxy_resolves_the_collectors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("looked up"))
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4318")
    with tracing.tracing("a-service", "1"):
        assert tracing.tracer() is not None


def test_a_wrong_setting_is_named_at_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "sometimes")
    with pytest.raises(SystemExit), tracing.tracing("a-service", "1"):
        pass
    assert capsys.readouterr().err.startswith("OTEL_TRACES_SAMPLER: ")


def test_the_default_samples_one_percent_and_follows_callers() -> None:
    with tracing.tracing("a-service", "1", [SimpleSpanProcessor(InMemorySpanExporter())]):
        tracer = tracing.tracer()
        assert tracer is not None
        recorded = sum(tracer.start_span("x").is_recording() for _ in range(10_000))
        assert 40 < recorded < 200
        for traceparent, expected in ((RECORDED, True), (NOT_RECORDED, False)):
            span = tracer.start_span("x", context=trace_context.context_of(traceparent))
            assert span.is_recording() is expected
            assert trace_context.traceparent_of_span(span)[:35] == traceparent[:35]


def test_a_batch_is_recorded_when_one_of_its_payments_is() -> None:
    with tracing.tracing("a-service", "1", [SimpleSpanProcessor(InMemorySpanExporter())]):
        tracer = tracing.tracer()
        assert tracer is not None
        linked = get_current_span(trace_context.context_of(RECORDED)).get_span_context()
        assert all(
            tracer.start_span("batch", links=[Link(linked)]).is_recording() for _ in range(100)
        )


@pytest.mark.parametrize("text", ["", "nonsense", "00-short-01", "00-" + "0" * 32 + "-1-01"])
def test_an_invalid_traceparent_is_ignored(text: str) -> None:
    context = trace_context.context_of(text)
    assert not get_current_span(context).get_span_context().is_valid
    assert trace_context.valid_traceparent(text) is None
    trace_context.is_sampled(text)


def test_the_sampled_flag_is_parsed_from_the_traceparent() -> None:
    assert trace_context.is_sampled(RECORDED)
    assert not trace_context.is_sampled(NOT_RECORDED)
    assert trace_context.trace_id_of(RECORDED) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        (CLAIM, "UPDATE recon_jobs"),
        (ENQUEUE, "INSERT recon_jobs"),
        ("SELECT * FROM payments WHERE id = $1", "SELECT payments"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT a"),
        ("BEGIN", "BEGIN"),
        ("", "SQL"),
    ],
)
def test_a_statements_summary_names_its_verb_and_tables(statement: str, summary: str) -> None:
    assert summary_of(statement)[1] == summary
