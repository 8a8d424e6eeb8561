"""Run every mutation in a copy of the tree and report the ones that no test notices.

Exit status: 0 if every mutation was killed or is accepted, 1 if one survived, 2 if the lists
do not fit the code or a named test fails without any mutation.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Literal

from testkit.mutants.lists import MUTATIONS
from testkit.mutants.mutation import Mutation
from testkit.working_copy import ROOT, copy_tree, environment_of

LANES = 2
TEST_SECONDS_MAX = 60
RUN_SECONDS_MAX = 120
BASELINE_SECONDS_MAX = 600
# These mean that the mutated code does not run at all, which any test notices.
NOT_A_KILL = re.compile(r"(Syntax|Indentation|Import|ModuleNotFound|Name|UnboundLocal)Error\b")

Verdict = Literal["killed", "survived", "broken", "timed out"]


def main() -> int:
    """Run the chosen mutations."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument(
        "-k", metavar="NAME", default="", help="only those whose name, file or test contains NAME"
    )
    wanted = parser.parse_args().k.lower()
    chosen = [m for m in MUTATIONS if wanted in f"{m.name} {m.file} {m.test}".lower()]
    stale = [f"{m.name}: {problem}" for m in chosen if (problem := m.problem(ROOT))]
    if stale or not chosen:
        print(*stale or [f"no mutation is named {wanted}"], sep="\n", file=sys.stderr)
        return 2
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        lanes = [Lane(Path(folder) / str(n), part) for n, part in enumerate(_parts(chosen))]
        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                if not all(pool.map(Lane.passes_unmutated, lanes)):
                    return 2
                verdicts = [verdict for part in pool.map(Lane.run, lanes) for verdict in part]
            except KeyboardInterrupt:
                for lane in lanes:
                    lane.stopped = True
                return 130
    return _report(verdicts, monotonic() - began)


class Lane:
    """One copy of the tree, where mutations run one after the other."""

    def __init__(self, tree: Path, mutations: Sequence[Mutation]) -> None:
        self.tree = tree
        self.mutations = mutations
        self.stopped = False
        self._second = 0
        copy_tree(tree)

    def passes_unmutated(self) -> bool:
        """Run the lane's tests on the unmutated code."""
        tests = sorted({mutation.test for mutation in self.mutations})
        status, failures, output = self._pytest(tests, BASELINE_SECONDS_MAX)
        if status != 0:
            print("without any mutation:", *failures or [output[-3000:]], sep="\n", file=sys.stderr)
        return status == 0

    def run(self) -> list[tuple[Mutation, Verdict]]:
        """Run the lane's mutations and print a line for each."""
        verdicts = []
        for mutation in self.mutations:
            if self.stopped:
                break
            began = monotonic()
            verdict, detail = self._verdict(mutation)
            print(
                f"{verdict:9} {monotonic() - began:5.1f} s  {mutation.name}  {detail}", flush=True
            )
            verdicts.append((mutation, verdict))
        return verdicts

    def _verdict(self, mutation: Mutation) -> tuple[Verdict, str]:
        path = self.tree / mutation.file
        original = path.read_text()
        self._write(path, mutation.mutated(self.tree))
        try:
            status, failures, output = self._pytest([mutation.test], RUN_SECONDS_MAX)
        finally:
            self._write(path, original)
        if status == 0:
            return "survived", ""
        if status is None:
            return "timed out", ""
        if kills := [failure for failure in failures if not NOT_A_KILL.match(failure)]:
            return "killed", kills[0].splitlines()[0][:100]
        return "broken", (failures or [output.strip()[-500:]])[0]

    def _write(self, path: Path, text: str) -> None:
        """Write the file with a distinct time: Python detects stale bytecode by the second."""
        self._second += 1
        path.write_text(text)
        os.utime(path, (self._second, self._second))

    def _pytest(self, tests: Sequence[str], seconds: float) -> tuple[int | None, list[str], str]:
        """Return pytest's exit status, the messages of failed tests (not of setups), its output.

        The status is None if it was stopped after `seconds`.
        """
        report = self.tree.with_suffix(".xml")
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["--timeout", str(TEST_SECONDS_MAX), f"--junit-xml={report}", *tests]
        with subprocess.Popen(
            command,
            cwd=self.tree,
            env=environment_of(self.tree),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # So that its fixtures stop their servers.
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=TEST_SECONDS_MAX)
                process.kill()
                return None, [], process.communicate()[0]
        cases = ET.parse(report).iter("failure") if report.exists() else ()
        return process.returncode, [case.get("message", "") for case in cases], output


def _parts(mutations: Sequence[Mutation]) -> list[list[Mutation]]:
    """Divide the mutations into one part for each lane, and keep those of a test file together."""
    by_file = defaultdict(list)
    for mutation in mutations:
        by_file[mutation.test_file].append(mutation)
    parts: list[list[Mutation]] = [[] for _ in range(min(LANES, len(by_file)))]
    for of_file in sorted(by_file.values(), key=len, reverse=True):
        min(parts, key=len).extend(of_file)
    return parts


def _report(verdicts: Sequence[tuple[Mutation, Verdict]], seconds: float) -> int:
    unnoticed = [(m, verdict) for m, verdict in verdicts if verdict != "killed"]
    failed = 0
    print(f"\n{len(verdicts)} mutations, {len(verdicts) - len(unnoticed)} killed", end=" ")
    print(f"in {seconds / 60:.1f} minutes")
    for mutation, verdict in unnoticed:
        accepted = verdict == "survived" and mutation.accepted
        failed += not accepted
        print(f"  {verdict}: {mutation.name} ({mutation.file}) {accepted or mutation.test}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
