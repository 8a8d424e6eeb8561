"""A command whose failure fails the test, with its output."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from payments_local.settings import REPOSITORY


def output_of(
    *command: str,
    cwd: Path = REPOSITORY,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
    seconds_max: float = 300,
    hint: str = "",
    check: bool = True,
) -> str:
    """Return the standard output. With `check`, a failure raises AssertionError with the output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    ends = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert not check or done.returncode == 0, f"{' '.join(command)}: {ends}{hint}"
    return done.stdout
