"""The standard streams of a program: closed, without a reader, or on a full disk."""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STDIN, STDOUT, STDERR = range(3)


class OutputFailed(Exception):
    """Standard output cannot be written.

    No OSError, which commands handle as a failure of a file or of the database.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.reader_left = isinstance(error, BrokenPipeError)


class _Whole(io.FileIO):
    """A stream that takes all bytes of each write, also unbuffered, and on a pipe that is full."""

    def write(self, data: Any) -> int:
        """Write all of it. Raises OSError."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            written = super().write(left)
            if written is None:  # The pipe is full, and does not block by itself.
                select.select([], [self], [])
                continue
            left = left[written:]
        return size


class _Output(_Whole):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputFailed(error) from error


class _Messages(_Whole):
    """Standard error: a message that cannot be written is lost, and changes no exit status."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Open the streams that are closed, and flush the output at the end. Raises OutputFailed."""
    _open_closed_ones()
    if sys.stdout is sys.__stdout__:  # Not in a test that captures it.
        sys.stdout = _text(_Output(STDOUT, "w", closefd=False), sys.__stdout__)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(STDERR, "w", closefd=False), sys.__stderr__)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputFailed:
        discard_output()
        raise


def discard_output() -> None:
    """Discard what is buffered, which would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _open_closed_ones() -> None:
    """Else the next file or connection gets the number of a stream, and the stream's text."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # The lowest free number.
    if sys.stdin is None:
        sys.stdin = open(STDIN, closefd=False)  # noqa: SIM115 - it lives as long as the process.


def _text(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    """Return a text stream like the one before, which is None if it was closed.

    It escapes characters that its encoding lacks.
    """
    unbuffered = getattr(before, "write_through", True)
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(before, "line_buffering", True),
        write_through=unbuffered,
    )
