"""Contenders measured in turns, so that what else the machine does hits all of them alike."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """`sample` measures once and returns figures by name; the first is the one compared."""

    name: str
    sample: Callable[[], Mapping[str, float]]


@dataclass(slots=True)
class Contest:
    """What each contender gave, sample after sample; `skipped` says who could not run, and why."""

    unit: str
    samples: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def run(self, contenders: list[Contender], repeats: int) -> "Contest":
        """A B C, A B C, ...: never all of one and then all of the next."""
        for turn in range(repeats):
            for contender in contenders:
                sample = contender.sample()
                self.samples.setdefault(contender.name, []).append(sample)
                said = ", ".join(f"{name} {value:,.1f}" for name, value in sample.items())
                print(f"  {turn + 1}/{repeats}  {contender.name:<44} {said}", flush=True)
        return self

    def median(self, contender: str, figure: str | None = None) -> float:
        """Of all its samples."""
        samples = self.samples[contender]
        figure = figure or next(iter(samples[0]))
        return statistics.median(sample[figure] for sample in samples)

    def ratio(self, contender: str, to: str) -> float | None:
        """Of the medians; None where one of the two did not run."""
        if contender not in self.samples or to not in self.samples:
            return None
        return self.median(contender) / self.median(to)

    def figures(self) -> Figures:
        """As JSON keeps it: each figure with its samples, median and spread."""
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
    """A figure's median, lowest and highest sample, and all of them."""
    return {
        "median": statistics.median(samples),
        "low": min(samples),
        "high": max(samples),
        "samples": samples,
    }


def percentiles(seconds: list[float]) -> Figures:
    """In milliseconds; `percentiles` holds p1 to p99."""
    cuts = [cut * 1000 for cut in statistics.quantiles(seconds, n=100)]
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "percentiles": cuts}
