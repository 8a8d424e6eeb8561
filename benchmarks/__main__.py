"""python -m benchmarks [--quick] [PART ...]: a table, and JSON in results/."""

import argparse
import json

from benchmarks import create_http, latency, overload, reconcile
from benchmarks.machine import durable_postgres, save

PARTS = ("reconcile", "create", "latency", "overload")


def main() -> None:
    """Run the parts named, or all; --quick keeps each working and proves no figure."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="short, for trying it out")
    arguments = parser.parse_args()
    with durable_postgres() as server:
        for part in arguments.parts or PARTS:
            if part == "reconcile":
                sizes = (5_000, 1) if arguments.quick else (50_000, 3)
                figures = reconcile.measure(server, *sizes)
            elif part == "create":
                figures = create_http.measure(server, *((2, 1) if arguments.quick else (8, 5)))
            elif part == "overload":
                figures = overload.measure(server, 4 if arguments.quick else 15)
            else:
                figures = latency.measure(server, 3 if arguments.quick else 20)
            print(f"\n{part}\n{json.dumps(figures, indent=2)}")
            if not arguments.quick:
                print(f"saved as {save(part, figures).name}")


if __name__ == "__main__":
    main()
