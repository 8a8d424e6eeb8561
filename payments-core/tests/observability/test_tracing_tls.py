"""Spans over TLS go only to a collector that OTEL_EXPORTER_OTLP_CERTIFICATE verifies."""

from pathlib import Path

import pytest

from payments_core.observability import tracing
from testkit.network.certificates import Authority
from testkit.observability.otlp_endpoint import otlp_endpoint

PROTOCOLS = ("grpc", "http/protobuf")


def _send_a_span(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with tracing.tracing("tls", "1"):
        tracer = tracing.tracer()
        assert tracer is not None
        tracer.start_span("over TLS").end()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_are_sent_over_tls_with_a_client_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocol: str
) -> None:
    authority = Authority(tmp_path / "ca")
    collector = authority.sign("collector", "IP:127.0.0.1")
    mine = authority.sign("payments")
    with otlp_endpoint(collector, authority.certificate) as endpoint:
        certificates = {
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.certificate),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(mine.certificate),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(mine.key),
        }
        _send_a_span(monkeypatch, {**endpoint.environ(protocol), **certificates})
        assert [span.name for span in endpoint.spans] == ["over TLS"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_span_is_sent_to_a_collector_of_another_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocol: str
) -> None:
    collector = Authority(tmp_path / "theirs").sign("collector", "IP:127.0.0.1")
    ours = Authority(tmp_path / "ours").certificate
    with otlp_endpoint(collector) as endpoint:
        environ = {
            **endpoint.environ(protocol),
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(ours),
        }
        _send_a_span(monkeypatch, environ)
        assert endpoint.spans == []
