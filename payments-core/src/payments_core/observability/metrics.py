"""Prometheus metrics for every service. Names follow Prometheus' conventions."""

import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Generic, TypeVar

from prometheus_client import REGISTRY, Info, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

_Seen = TypeVar("_Seen")

# They would add an unused *_created series to each counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]  # It has no types.

BUILD = Info("payments_build", "The service and its versions; always 1.")


def show_build(service: str) -> str:
    """Publish service and versions as a metric; return the service's version."""
    at = version(service)
    BUILD.info({"service": service, "version": at, "python": platform.python_version()})
    return at


class Observed(Collector, Generic[_Seen]):
    """Metrics of the last observation; none once it is older than `seconds_max`.

    An alert can detect a missing figure, not a false one.
    """

    def __init__(
        self,
        families: Callable[[_Seen], Iterable[Metric]],
        seconds_max: float,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._families = families
        self._seconds_max = seconds_max
        self._last: tuple[float, _Seen] | None = None
        registry.register(self)

    def set(self, at: float, seen: _Seen) -> None:
        """Show an observation that began at the monotonic clock's `at`."""
        self._last = at, seen

    def collect(self) -> Iterable[Metric]:
        """Return the metric families of the last observation while it is fresh."""
        if self._last is None or time.monotonic() - self._last[0] > self._seconds_max:
            return ()
        return self._families(self._last[1])


class BatchHistogram(Collector):
    """A histogram that observes whole batches, with exemplars. Not thread-safe, so without locks.

    Observing 500 values one by one costs prometheus_client's own histogram about a
    millisecond of a 40 ms batch; this one a tenth of that.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._exemplars: list[Exemplar | None] = [None] * len(self._counts)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: Iterable[float]) -> None:
        """Count each value in its bucket."""
        bounds, counts = self._bounds, self._counts
        total = 0.0
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._sum += total

    def show_example(self, value: float, trace_id: str) -> None:
        """Make the trace the exemplar of the bucket of `value`, which is counted already."""
        place = bisect_left(self._bounds, value)
        self._exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the family, with cumulative buckets as the format requires."""
        family = HistogramMetricFamily(self._name, self._documentation)
        names = [repr(float(bound)) for bound in self._bounds] + ["+Inf"]
        buckets = []
        seen = 0
        for name, count, exemplar in zip(names, self._counts, self._exemplars, strict=True):
            seen += count
            buckets.append((name, seen) if exemplar is None else (name, seen, exemplar))
        family.add_metric([], buckets, self._sum)
        return [family]
