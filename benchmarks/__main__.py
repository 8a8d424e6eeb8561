"""python -m benchmarks [--quick] [--minutes N] [PART ...]: measure and save each part's figures."""

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import fields, replace

from benchmarks.contest import Figures
from benchmarks.effort import QUICK, Effort
from benchmarks.results import print_figures, save

PARTS = (
    "worker",
    "create",
    "batch",
    "overload",
    "latency",
    "idle",
    "memory",
    "growth",
    "snapshot",
    "bloat",
)
# Run only when named: `tune`, before the others, finds the settings that `worker` gives the peers.
BY_NAME = ("tune", "statements", "reconcile", "webhooks")


def main() -> None:
    """Run the named parts, or all, and save each one's figures as soon as it ends."""
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=f"Parts: {', '.join(PARTS)}; by name alone: {', '.join(BY_NAME)}."
        f" A full run takes about {Effort().expected_minutes(frozenset(PARTS)):.0f} minutes on two"
        " cores.",
    )
    parser.add_argument("parts", nargs="*", help="default: all")
    parser.add_argument("--quick", action="store_true", help="try everything out, keep nothing")
    parser.add_argument("--minutes", type=float, help="shorten samples until it fits into these")
    for setting in fields(Effort):
        kind = str if setting.name == "grown_data" else type(setting.default)
        parser.add_argument(f"--{setting.name.replace('_', '-')}", type=kind)
    arguments = parser.parse_args()
    known = (*BY_NAME, *PARTS)
    unknown = set(arguments.parts) - set(known)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    arguments.parts = arguments.parts or list(PARTS)
    effort, parts = _effort(arguments), arguments.parts
    print(f"about {effort.expected_minutes(frozenset(parts)):.0f} minutes: {effort}", flush=True)
    for part in parts:
        begun = time.monotonic()
        print(f"\n{part}", flush=True)
        measure: Callable[[Effort], Figures] = importlib.import_module(
            f"benchmarks.parts.{part}"
        ).measure
        figures = measure(effort)
        print_figures(figures)
        took = time.monotonic() - begun
        kept = "not kept" if arguments.quick else f"kept as {save(part, figures, effort).name}"
        print(f"  {took:.0f} s, {kept}", flush=True)


def _effort(arguments: argparse.Namespace) -> Effort:
    effort = QUICK if arguments.quick else Effort()
    given = {name: getattr(arguments, name) for name in (f.name for f in fields(Effort))}
    effort = replace(effort, **{name: value for name, value in given.items() if value is not None})
    if arguments.minutes:
        effort = effort.within(arguments.minutes, frozenset(arguments.parts))
    return effort


if __name__ == "__main__":
    main()
