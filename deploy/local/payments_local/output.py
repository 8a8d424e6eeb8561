"""The terminal's output: each line carries the label of its source, or is a JSON object."""

import json
import os
import select
import sys
import threading
from collections.abc import Callable

from payments_core.cli.streams import OutputFailed, discard_output

LABEL_COLOURS = {"postgres": 34, "migrate": 33, "api": 32, "worker": 36, "ui": 35}
LABEL_WIDTH = max(map(len, LABEL_COLOURS))


class Terminal:
    """Writes whole lines from any thread. Colours only a terminal, and respects NO_COLOR.

    With `as_json` (LOG_FORMAT=json) each line is one JSON object: a child's own, or one around its
    text. A label would break it.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self.failure: OutputFailed | None = None
        self._stream = sys.stdout
        self._lock = threading.Lock()
        self._as_json = as_json
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")

    def line(self, label: str, text: str) -> None:
        """Print a child's line behind its label."""
        if self._as_json:
            self._write(text if _is_object(text) else _as_object(label, text))
            return
        head = f"{label:<{LABEL_WIDTH}} |"
        if self._coloured:
            head = f"\033[{LABEL_COLOURS.get(label, 0)}m{head}\033[0m"
        self._write(f"{head} {text}")

    def say(self, text: str) -> None:
        """Print the run's own text."""
        self._write(_as_object("make up", text.strip()) if self._as_json else text)

    def reader_left(self) -> bool:
        """Return whether the reader of the output has left: its terminal or pipe is closed."""
        poll = select.poll()
        poll.register(self._stream, 0)  # Hang-ups and errors are always reported.
        return bool(poll.poll(0))

    def _write(self, text: str) -> None:
        """Print the line. If the reader has left (`| head`) or the disk is full, request a stop."""
        with self._lock:
            if self.failure is not None:
                return
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
                return
            except OutputFailed as error:
                self.failure = error
                discard_output()
        self.on_failure()


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _as_object(service: str, text: str) -> str:
    return json.dumps({"service": service, "event": "output", "text": text}, ensure_ascii=False)
