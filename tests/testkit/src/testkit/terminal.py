"""What a program shows on a terminal, such as one of `pty.openpty()`."""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

ON_A_TERMINAL = (
    *(sys.executable, "-c"),
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
)
ANSWERED_SECONDS_MAX = 30.0
READING_SECONDS = 0.5


def read_all(terminal: int) -> str:
    """Return all that was written to the terminal, whose other end is closed, and close it."""
    parts = []
    with suppress(OSError):  # Linux reports the closed end as EIO.
        while part := os.read(terminal, 65_536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


async def answer_on_a_terminal(
    command: tuple[str, ...], *answers: tuple[str, str], environ: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Type each answer after its question; return the exit status and what is shown then."""
    process = await asyncio.create_subprocess_exec(
        *(*ON_A_TERMINAL, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert process.stdin
    assert process.stdout
    async with asyncio.timeout(ANSWERED_SECONDS_MAX):
        for question, answer in answers:
            await process.stdout.readuntil(question.encode())
            # Python's input() waits through a signal that arrives before it has begun to read.
            await asyncio.sleep(READING_SECONDS)
            process.stdin.write(answer.encode())
        shown = await process.stdout.read()
    process.stdin.close()
    return await process.wait(), shown.decode()
