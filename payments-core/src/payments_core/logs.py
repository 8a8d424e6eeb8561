"""Logs: one JSON object a line for machines, a readable line for a terminal."""

import json
import logging
import sys
import time
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"DEBUG": 2, "INFO": 36, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """{"time","level","service","event", ...}: the event's name, then what `extra` gave."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """12:30:59 INFO event key=value: for people."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self.colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<7}"
        if self.colours:
            level = f"\x1b[{_COLOURS.get(record.levelname, 0)}m{level}\x1b[0m"
        details = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        line = f"{at} {level} {record.getMessage()} {details}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(service: str, level: str, log_format: str) -> None:
    """Send everything to standard output, once, in the format asked for."""
    terminal = sys.stdout.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not terminal)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service) if as_json else ConsoleFormatter(colours=terminal))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("hypercorn.error", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel("WARNING")
