"""python -m testkit.chaos run|recovery|soak: seeded faults, times to recover, a steady load."""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from pathlib import Path

from testkit.chaos import recovery
from testkit.chaos.faults.catalogue import FAULTS
from testkit.chaos.kept import save
from testkit.chaos.report import as_text
from testkit.chaos.run import Options, run
from testkit.chaos.soak import run as soak

RUNS = 3


def main() -> None:
    """Run the command; exit with status 1 if anything failed."""
    arguments = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="payments-chaos-logs-"))
    if arguments.command == "recovery":
        sys.exit(_recovery(folder))
    if arguments.command == "soak":
        sys.exit(_soak(arguments, folder))
    sys.exit(_run(arguments, folder))


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    names = [name for name in arguments.faults.split(",") if name]
    unknown = sorted(set(names) - FAULTS.keys())
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; there are {', '.join(sorted(FAULTS))}")
    first = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    seeds = range(first, first + (1 if arguments.seed is not None else arguments.runs))
    results = []
    for seed in seeds:
        print(f"seed {seed}, {arguments.seconds:g} s of faults; logs in {folder / str(seed)}")
        (folder / str(seed)).mkdir()
        options = Options(seed, arguments.seconds, names)
        results.append(asyncio.run(run(options, folder / str(seed), _say)))
        _say("  WENT WRONG" if results[-1].wrong else "  all held")
    print(f"\n{as_text(results)}")
    return any(result.wrong for result in results)


def _recovery(folder: Path) -> int:
    figures = asyncio.run(recovery.measure(folder))
    print(json.dumps(figures, indent=2))
    broken = recovery.broken(figures)
    for promise in broken:
        print(f"TOO SLOW: {promise}", file=sys.stderr)
    print(f"saved as {save('recovery', figures).name}")
    return bool(broken)


def _soak(arguments: argparse.Namespace, folder: Path) -> int:
    figures = asyncio.run(soak.soak(arguments.minutes, arguments.rate, folder, _say))
    print(f"\n{'line':<44}{'mean':>12}{'rise':>12}   flat")
    for name, line in figures["trends"].items():
        flat = "yes" if line["flat"] else "NO"
        print(f"{name:<44}{line['mean']:>12.2f}{line['rise']:>12.2f}   {flat}")
    for complaint in figures["wrong"]:
        print(f"WRONG: {complaint}", file=sys.stderr)
    print(f"saved as {save('soak', figures).name}")
    if figures["wrong"]:
        return 1
    if not figures["trends"]:
        print("NOT JUDGED: too short to tell what is flat; ten minutes are enough")
        return 2
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="testkit.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="break things, by a seed")
    running.add_argument("--seed", type=int, help="replay this run (default: new ones)")
    running.add_argument("--seconds", type=float, default=60.0, help="how long faults are injected")
    running.add_argument("--faults", default="", help="only these, comma-separated")
    running.add_argument("--runs", type=int, default=RUNS, help="how many, without --seed")
    commands.add_parser("recovery", help="measure how long it takes to work again")
    soaking = commands.add_parser("soak", help="a steady load near capacity, and what grows")
    soaking.add_argument("--minutes", type=float, default=20.0)
    soaking.add_argument("--rate", type=float, help="payments/s, instead of 80 %% of capacity")
    return parser


if __name__ == "__main__":
    main()
