"""Log lines written by a separate thread: a full pipe never stops the event loop.

Lines wait in a bounded queue. Lines that find no room, or that a closed pipe refuses, are counted
and dropped; the number is logged as soon as lines are written again.
"""

import logging
import os
import queue
import threading
from contextlib import suppress
from time import monotonic, sleep

from prometheus_client import Counter

LINES_MAX = 5_000  # In the queue: a burst of some megabytes.
LINES_AT_ONCE = 200  # In one write.
FLUSH_SECONDS_MAX = 1.0  # How long the end of the process waits for its last lines.

DROPPED = Counter("log_lines_dropped", "Log lines that could not be written.")


class LogWriter(logging.Handler):
    """Formats records when they are logged, and writes their lines to a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(LINES_MAX)
        self._dropped = 0  # Dropped lines that no log line has reported yet.
        self._counting = threading.Lock()
        threading.Thread(target=self._write_lines, name="log-writer", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, or drop it."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._drop(1)

    def flush(self) -> None:
        """Wait, within bounds, until the lines logged so far are written."""
        deadline = monotonic() + FLUSH_SECONDS_MAX
        while self._lines.unfinished_tasks and monotonic() < deadline:
            sleep(0.005)

    def _drop(self, lines: int) -> None:
        DROPPED.inc(lines)
        with self._counting:
            self._dropped += lines

    def _write_lines(self) -> None:
        while True:
            lines = [self._lines.get()]
            with suppress(queue.Empty):
                while len(lines) < LINES_AT_ONCE:
                    lines.append(self._lines.get_nowait())
            try:
                self._write(lines)
            except OSError:  # The reader has gone; the process continues.
                self._drop(len(lines))
            finally:
                for _ in lines:
                    self._lines.task_done()

    def _write(self, lines: list[str]) -> None:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        note = [self._format_dropped(dropped)] if dropped else []
        data = memoryview("".join(f"{line}\n" for line in (*lines, *note)).encode(errors="replace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            with self._counting:
                self._dropped += dropped
            raise

    def _format_dropped(self, lines: int) -> str:
        fields = {"name": __name__, "levelname": "WARNING", "msg": "log_lines_dropped"}
        return self.format(logging.makeLogRecord({**fields, "lines": lines}))
