"""Logs: one JSON object per line for machines, a readable line for a terminal.

A message is the event's name; its fields are in `extra`. Trace and span ids are added here. No log
call gets a description, key or secret. Postgres' errors quote rows, which may hold any of them, so
the quotes are removed here.
"""

import json
import logging
import re
import sys
import time
from typing import Any

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from payments_core.observability.log_writer import LogWriter

TELEMETRY_LOG_INTERVAL_SECONDS = 60.0

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"DEBUG": 2, "INFO": 36, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}
# json.dumps with arguments makes a new encoder for every line. A record holds no cycles.
_encode = json.JSONEncoder(default=str, ensure_ascii=False, check_circular=False).encode
# "DETAIL:  Failing row contains (...)", "[parameters: (...)]": whole rows and keys.
_QUOTED_ROW = re.compile(
    r"(DETAIL:\s*|Failing row contains|\[parameters: )"
    r"[\s\S]*?(?=\n(?:HINT|CONTEXT|Traceback|During|The above|  File|\[SQL)|\Z)"
)


# Line separators; marks, embeddings, overrides and isolates of the direction.
_STEERING = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_STEERING_ESCAPES = {code: f"\\u{code:04x}" for code in _STEERING}
# C0, DEL and C1 too: a terminal obeys them, and clients choose the content of some fields.
CONTROL_ESCAPES = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))
} | _STEERING_ESCAPES
# JSON escapes C0 by itself.
_ESCAPES_IN_JSON = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)} | _STEERING_ESCAPES
_ESCAPES_IN_TRACEBACK = {
    code: text for code, text in CONTROL_ESCAPES.items() if chr(code) not in "\n\t"
}


def without_rows(text: str) -> str:
    """Return the text without the rows and parameters that Postgres or SQLAlchemy quote."""
    if "DETAIL" not in text and "row contains" not in text and "[parameters" not in text:
        return text
    return _QUOTED_ROW.sub("(row not shown)", text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    for key, value in fields.items():
        if type(value) is str:
            fields[key] = without_rows(value)
    return fields


def _ids() -> dict[str, str]:
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return without_rows(super().formatException(ei))


class JsonFormatter(_Formatter):
    """{"time","level","service","event", ...}: the event's name, then the fields of `extra`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service
        self._second, self._second_text = 0, ""

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, whatever the message holds."""
        line: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "event": without_rows(record.getMessage()),
            **_fields(record),
            **_ids(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).translate(_ESCAPES_IN_JSON)


class ConsoleFormatter(_Formatter):
    """12:30:59 INFO event key=value: for people."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self.colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return one line with control characters escaped, followed by the traceback."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<7}"
        if self.colours:
            level = f"\x1b[{_COLOURS.get(record.levelname, 0)}m{level}\x1b[0m"
        details = " ".join(
            f"{key}={value}".translate(CONTROL_ESCAPES) for key, value in _fields(record).items()
        )
        trace = _ids().get("trace_id", "")
        if trace:
            details = f"{details} trace={trace}"
        event = without_rows(record.getMessage()).translate(CONTROL_ESCAPES)
        line = f"{at} {level} {event} {details}".rstrip()
        if not record.exc_info:
            return line
        traceback = self.formatException(record.exc_info).translate(_ESCAPES_IN_TRACEBACK)
        return f"{line}\n{traceback}"


class TelemetryOnceAMinute(logging.Filter):
    """Reduce telemetry's reports of its own problems to one line a minute, without traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until = 0.0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record; if so, rename it to telemetry_failed."""
        if not record.name.startswith("opentelemetry"):
            return True
        now = time.monotonic()
        if now < self._quiet_until:
            self._left_out += 1
            return False
        message = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            message = f"{message}: {record.exc_info[1]}"
        record.msg, record.args, record.exc_info = "telemetry_failed", (), None
        record.error, record.left_out = message[:300], self._left_out
        self._quiet_until, self._left_out = now + TELEMETRY_LOG_INTERVAL_SECONDS, 0
        return True


def configure_logs(service: str, level: str, log_format: str) -> None:
    """Send everything to standard output, once, in the format of the settings."""
    terminal = sys.stdout.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not terminal)
    handler = LogWriter(sys.stdout.fileno())
    handler.setFormatter(JsonFormatter(service) if as_json else ConsoleFormatter(colours=terminal))
    handler.addFilter(TelemetryOnceAMinute())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # httpx2 logs every request; at DEBUG, Authlib logs the secrets that it sends to the provider.
    for noisy in (
        "hypercorn.error",
        "httpx2",
        "httpcore2",
        "authlib",
        "alembic",
        "urllib3",
    ):
        logging.getLogger(noisy).setLevel("WARNING")
    # SQLAlchemy logs under the pool class's module; a disposed pool is no news.
    logging.getLogger("payments_core.db.telemetry").setLevel("WARNING")
    # Logged for every span that its full queue rejects, on the path of a request.
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel("ERROR")
    # Read for each record, but never shown.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
