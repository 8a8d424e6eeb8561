"""Run PostgreSQL's own programs in a clean environment, and report why they fail."""

import os
import subprocess
from pathlib import Path

from payments_local.children import ChildSpec, RunAs, wrapped
from payments_local.errors import LocalError

SECONDS_MAX = 120.0


def run_to_end(command: list[str], user: RunAs | None, stdin: str) -> None:
    """Run the program to its end. Raises LocalError with its last output if it failed."""
    name = Path(command[0]).name
    spec = ChildSpec(name, command, environ(), Path("/"), run_as=user)
    try:
        done = subprocess.run(  # noqa: S603 - our own command.
            wrapped(spec),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(spec.environ),
            cwd=spec.cwd,
            start_new_session=True,  # Ctrl-C waits for it: it takes a second or two.
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LocalError(f"{name} took more than {SECONDS_MAX:.0f} s") from None
    # Single-user mode ends with status 0 even if its statements failed.
    if done.returncode != 0 or "ERROR:" in done.stdout:
        raise LocalError(f"{name} failed: {reason(done.stdout.splitlines())}")


def environ() -> dict[str, str]:
    """Return our environment without PGDATA and the like, in a locale that always exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def reason(lines: list[str]) -> str:
    """Return PostgreSQL's reason in one line: its FATAL line if it has one, else its last."""
    for severity in ("FATAL:", "PANIC:", "ERROR:"):
        for line in lines:
            if severity in line:
                return line.partition(severity)[2].strip()
    return " ".join(line.strip() for line in lines[-3:] if line.strip()) or "it said nothing"
