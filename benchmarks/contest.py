"""Measure contenders in turns, so that noise on the machine affects all of them equally."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """A system under test: `sample` measures once and returns figures, the compared one first."""

    name: str
    sample: Callable[[], Mapping[str, float]]


@dataclass(slots=True)
class Contest:
    """The samples of each contender; `skipped` holds the reason for each one that could not run."""

    unit: str
    samples: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def run(self, contenders: list[Contender], repeats: int) -> "Contest":
        """Sample in rounds: A B C, A B C, never all samples of one in a row."""
        for turn in range(repeats):
            for contender in contenders:
                sample = contender.sample()
                self.samples.setdefault(contender.name, []).append(sample)
                said = ", ".join(f"{name} {value:,.1f}" for name, value in sample.items())
                print(f"  {turn + 1}/{repeats}  {contender.name:<44} {said}", flush=True)
        return self

    def median(self, contender: str, figure: str | None = None) -> float:
        """Return the median of a contender's samples."""
        samples = self.samples[contender]
        figure = figure or next(iter(samples[0]))
        return statistics.median(sample[figure] for sample in samples)

    def ratio(self, contender: str, to: str) -> float | None:
        """Return the ratio of two medians, or None if one of the two did not run."""
        if contender not in self.samples or to not in self.samples:
            return None
        return self.median(contender) / self.median(to)

    def figures(self) -> Figures:
        """Return each figure with its samples, median and spread, ready for JSON."""
        return {
            "unit": self.unit,
            "contenders": {
                name: {
                    figure: spread([sample[figure] for sample in samples]) for figure in samples[0]
                }
                for name, samples in self.samples.items()
            },
            "skipped": self.skipped,
        }


def spread(samples: list[float]) -> dict[str, Any]:
    """Return a figure's median, lowest and highest sample, and all samples."""
    return {
        "median": statistics.median(samples),
        "low": min(samples),
        "high": max(samples),
        "samples": samples,
    }


def percentiles(seconds: list[float]) -> Figures:
    """Return p50, p90 and p99 in milliseconds, and p1 to p99 under `percentiles`."""
    cuts = [cut * 1000 for cut in statistics.quantiles(seconds, n=100)]
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "percentiles": cuts}
