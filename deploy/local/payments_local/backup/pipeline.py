"""Pipes of programs, and the program that encrypts and decrypts in them."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from payments_local.backup.errors import BackupFailed
from payments_local.programs import reason


def age() -> str:
    """Return the path of age, the encryption program. Raises BackupFailed without it."""
    found = shutil.which("age")
    if found is None:
        raise BackupFailed("encryption needs the program age: install your system's package")
    return found


@contextmanager
def piped(
    commands: list[list[str]], environ: dict[str, str], source: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Run the programs as a pipe; yield its output. Raises BackupFailed if any of them fails."""
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as said:
        try:
            feed: IO[bytes] | int | None = source or subprocess.DEVNULL
            for command in commands:
                process = subprocess.Popen(  # noqa: S603 - our own commands.
                    command, env=environ, stdin=feed, stdout=subprocess.PIPE, stderr=said
                )
                if running and running[-1].stdout is not None:
                    running[-1].stdout.close()  # It must notice when its reader ends.
                running.append(process)
                feed = process.stdout
            assert process.stdout is not None
            yield process.stdout
            statuses = [each.wait() for each in running]
        finally:
            for each in running:
                if each.poll() is None:
                    each.kill()
                each.wait()
                if each.stdout is not None:
                    each.stdout.close()
        if any(statuses):
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
            failed = next(
                command for command, status in zip(commands, statuses, strict=True) if status
            )
            raise BackupFailed(f"{Path(failed[0]).name}: {reason(lines)}")
