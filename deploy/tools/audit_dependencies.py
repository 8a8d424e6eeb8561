"""Query an advisory service for known vulnerabilities of the packages in our locks.

    python audit_dependencies.py PIP_AUDIT LOCK... [--required]

pip-audit reports a package that its service does not know as skipped, and exits with success:
behind an empty mirror, every package. So the service is queried first about an old release with
known vulnerabilities. If it names none, nothing was audited, and the output says so. With
--required that is a failure, as is a package that could not be looked up.

An advisory that does not apply to us is listed in advisories.toml, with a reason and an end date.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

KNOWN_VULNERABLE = "jinja2==2.10\n"  # PYSEC-2019-217, a sandbox escape, and later ones.
ACCEPTED = Path(__file__).with_name("advisories.toml")
LOCK_SECONDS_MAX = 120
SERVICE_TIMEOUT_SECONDS = 10


class ServiceUnavailable(Exception):
    """No advisory service answers"""


@dataclass
class Report:
    """The result for the locks: a line for each vulnerability, and the names not looked up."""

    vulnerable: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    looked_up: int = 0


def accepted_on(today: date, text: str) -> dict[str, str]:
    """Return the ids of the advisories accepted on that day, each with its reason.

    Raises KeyError for an entry without id, reason or `until`.
    """
    entries = tomllib.loads(text).get("accepted", [])
    return {one["id"]: one["reason"] for one in entries if one["until"] >= today}


def read_report(answer: dict[str, Any], accepted: Iterable[str], report: Report) -> None:
    """Add pip-audit's JSON to the report."""
    for package in answer["dependencies"]:
        if "skip_reason" in package:
            report.unknown.add(package["name"])
            continue
        report.looked_up += 1
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            if not names & set(accepted):
                fixed = ", ".join(found["fix_versions"]) or "no release"
                report.vulnerable.add(
                    f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"
                )


def ask(pip_audit: str, requirements: Path, *options: str) -> dict[str, Any]:
    """Return pip-audit's JSON about a requirements file. Raises ServiceUnavailable."""
    command = [pip_audit, "--requirement", str(requirements), "--disable-pip", *options]
    command += ["--format=json", "--progress-spinner=off", f"--timeout={SERVICE_TIMEOUT_SECONDS}"]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments.
            command, capture_output=True, text=True, timeout=LOCK_SECONDS_MAX, check=False
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        raise ServiceUnavailable from None
    return answer


def audited(pip_audit: str, locks: Iterable[Path], accepted: Iterable[str]) -> Report:
    """Return the report on the locks. Raises ServiceUnavailable if no service can be queried."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder, "known-vulnerable.txt")
        known.write_text(KNOWN_VULNERABLE)
        canary = Report()
        read_report(ask(pip_audit, known, "--no-deps"), (), canary)
    if not canary.vulnerable:
        raise ServiceUnavailable
    report = Report()
    for lock in locks:
        read_report(ask(pip_audit, lock, "--require-hashes"), accepted, report)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pip_audit")
    parser.add_argument("locks", nargs="+", type=Path)
    parser.add_argument("--required", action="store_true")
    arguments = parser.parse_args()
    accepted = accepted_on(datetime.now(UTC).date(), ACCEPTED.read_text())
    try:
        report = audited(arguments.pip_audit, arguments.locks, accepted)
    except ServiceUnavailable as error:
        print(f"--  advisories: skipped: {error.__doc__}, so nothing was audited")
        return 1 if arguments.required else 0
    for line in sorted(report.vulnerable):
        print(f"error: {line}", file=sys.stderr)
    if report.unknown:
        print(f"--  advisories: not looked up: {', '.join(sorted(report.unknown))}")
    if report.vulnerable or (report.unknown and arguments.required):
        return 1
    print(f"ok  advisories ({report.looked_up} packages)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
