"""The batch histogram counts like prometheus_client's own; observations are shown while fresh."""

from time import monotonic

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics import exposition

from payments_core.observability.metrics import BatchHistogram, Observed

BUCKETS = (0.01, 0.1, 1.0, 10.0)
VALUES = (0.0, 0.01, 0.010001, 0.5, 1.0, 9.99, 10.0, 11.0, 3600.0)


def test_observing_a_batch_equals_observing_each_value() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    BatchHistogram("lag_seconds", "How long.", BUCKETS, ours).observe(VALUES)
    one_by_one = Histogram("lag_seconds", "How long.", buckets=BUCKETS, registry=theirs)
    for value in VALUES:
        one_by_one.observe(value)
    assert sorted(generate_latest(ours).splitlines()) == sorted(
        generate_latest(theirs).splitlines()
    )


def test_an_exemplar_is_in_the_bucket_of_its_value() -> None:
    registry = CollectorRegistry()
    histogram = BatchHistogram("lag_seconds", "How long.", BUCKETS, registry)
    histogram.observe(VALUES)
    histogram.show_example(0.5, "0af7651916cd43dd8448eb211c80319c")
    text: bytes = exposition.generate_latest(registry)  # type: ignore[no-untyped-call]  # No types.
    lines = text.decode().splitlines()
    with_exemplar = [line for line in lines if "trace_id" in line]
    assert len(with_exemplar) == 1
    assert with_exemplar[0].startswith('lag_seconds_bucket{le="1.0"} 5.0 # {trace_id=')


def test_an_observation_is_shown_while_it_is_fresh() -> None:
    registry = CollectorRegistry()
    observed: Observed[float] = Observed(
        lambda seen: [GaugeMetricFamily("depth", "d", seen)], 30, registry
    )
    assert registry.get_sample_value("depth") is None
    observed.set(monotonic() - 29, 7.0)
    assert registry.get_sample_value("depth") == 7
    observed.set(monotonic() - 31, 8.0)
    assert registry.get_sample_value("depth") is None
