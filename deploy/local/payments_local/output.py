"""The terminal's output: each line carries the label of its source."""

import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

LABEL_COLOURS = {"postgres": 34, "migrate": 33, "api": 32, "worker": 36, "ui": 35}
LABEL_WIDTH = max(map(len, LABEL_COLOURS))


class Terminal:
    """Writes whole lines from any thread. Colours only a terminal, and respects NO_COLOR."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.on_gone: Callable[[], None] = lambda: None
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._gone = False
        self.is_tty = self._stream.isatty()
        self._coloured = self.is_tty and not os.environ.get("NO_COLOR")

    def line(self, label: str, text: str) -> None:
        """Print a child's line behind its label."""
        head = f"{label:<{LABEL_WIDTH}} |"
        if self._coloured:
            head = f"\033[{LABEL_COLOURS.get(label, 0)}m{head}\033[0m"
        self.say(f"{head} {text}")

    def say(self, text: str) -> None:
        """Print the run's own line. If the reader has gone (`| head`), request a stop, once."""
        with self._lock:
            if self._gone:
                return
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
                return
            except OSError:
                self._gone = True
                # Discards what the interpreter would still flush at its exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        self.on_gone()
