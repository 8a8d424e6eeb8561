"""The container engine's client."""

import os
import subprocess

from payments_local.settings import REPOSITORY

COMMAND_SECONDS_MAX = 180


def docker(
    *arguments: str, seconds_max: float = COMMAND_SECONDS_MAX, check: bool = True, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """Run the engine's client to its end. A failure shows its output."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert not check or done.returncode == 0, f"docker {arguments[0]}: {done.stderr[-3000:]}"
    return done
