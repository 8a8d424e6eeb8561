"""A file that names a service's process, so that another command can stop it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from payments_local.children import ChildSpec
from payments_local.errors import LocalError

KILL_SECONDS_MAX = 5.0
# After a restart the process number alone may name another process.
START_TIME_SLACK_SECONDS = 0.01


def _file(data_dir: Path, name: str) -> Path:
    return data_dir / "run" / f"{name}.pid"


def running(data_dir: Path, name: str) -> psutil.Process | None:
    """Return the recorded process, if it still runs."""
    try:
        pid, started = _file(data_dir, name).read_text().split()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(started)) < START_TIME_SLACK_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None


@contextmanager
def recorded(data_dir: Path, name: str) -> Iterator[None]:
    """Record this process as the service; the block may replace it by exec.

    Raises LocalError if one already runs.
    """
    if (other := running(data_dir, name)) is not None:
        raise LocalError(f"{name} runs already, as process {other.pid}")
    file = _file(data_dir, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".new")
    written.write_text(f"{os.getpid()} {psutil.Process().create_time()}\n")
    written.rename(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def become(spec: ChildSpec) -> None:
    """Replace this process by the service, so that signals reach it directly."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(spec.cwd)
    os.execve(spec.command[0], list(spec.command), dict(spec.environ))  # noqa: S606 - ours.


def stop_recorded(data_dir: Path, name: str, seconds_max: float) -> None:
    """Send SIGTERM and wait; after `seconds_max` send SIGKILL.

    Raises LocalError after a SIGKILL: the service's jobs were not handed back.
    """
    process = running(data_dir, name)
    if process is None:
        return
    process.terminate()
    try:
        process.wait(seconds_max)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(KILL_SECONDS_MAX)
        raise LocalError(f"{name} did not stop within {seconds_max:.0f} s and was killed") from None
    finally:
        _file(data_dir, name).unlink(missing_ok=True)
