"""A run's report as a table."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from testkit.chaos.run import Result

COUNTED = (
    "payments accepted",
    "accepted in batches",
    "payments refused",
    "reversals settled",
    "requests",
    "retries",
    "repeats answered alike",
    "reused keys refused",
    "dead letters",
    "of them poisoned",
    "events told",
    "attempts to tell",
    "balances compared",
    "invariants that hold",
)


def as_text(results: Sequence[Result]) -> str:
    """Return faults with their times to recover, the counts, and the failures, if any."""
    times: dict[str, list[float]] = defaultdict(list)
    for result in results:
        for injected in result.injected:
            times[injected.fault].append(injected.recovered_seconds)
    lines = [f"{'fault':<26}{'times':>6}   settling again after: median, worst"]
    lines += [
        f"{name:<26}{len(seconds):>6}   {median(seconds):>8.2f} s {max(seconds):>8.2f} s"
        for name, seconds in sorted(times.items())
    ]
    lines.append("")
    for name in COUNTED:
        total = sum(result.verdict.figures[name] for result in results)
        lines.append(f"{name:<26}{total:>8,}")
    for missing in sorted({reason for result in results for reason in result.missing}):
        lines.append(f"left out: {missing}")
    lines.append("")
    for result in results:
        if not result.wrong:
            continue
        lines.append(f"seed {result.options.seed} WENT WRONG:")
        lines += [f"  {complaint}" for complaint in result.wrong[:20]]
        lines.append(f"  replay: {replay(result)}")
    if not any(result.wrong for result in results):
        seeds = ", ".join(str(result.options.seed) for result in results)
        lines.append(f"all held: nothing lost, nothing twice, nothing hangs (seeds {seeds})")
    return "\n".join(lines)


def replay(result: Result) -> str:
    """Return the command that repeats the run."""
    options = result.options
    faults = f" FAULTS={','.join(options.faults)}" if options.faults else ""
    return f"make chaos SEED={options.seed} SECONDS={options.seconds:g}{faults}"
