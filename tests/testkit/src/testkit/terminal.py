"""What a program shows on a terminal, such as one of `pty.openpty()`."""

import os
from contextlib import suppress


def read_all(terminal: int) -> str:
    """Return all that was written to the terminal, whose other end is closed, and close it."""
    parts = []
    with suppress(OSError):  # Linux reports the closed end as EIO.
        while part := os.read(terminal, 65_536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()
