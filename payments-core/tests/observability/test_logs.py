"""Log lines: one JSON object each, without the rows that Postgres quotes."""

import json
import logging

import pytest

from payments_core.observability.logs import (
    ConsoleFormatter,
    JsonFormatter,
    TelemetryOnceAMinute,
    without_rows,
)


def record(name: str, message: str, **extra: object) -> logging.LogRecord:
    """Return a record as a logger creates it."""
    made = logging.LogRecord(name, logging.WARNING, "", 0, message, None, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    "quoting",
    [
        "duplicate key\nDETAIL:  Key (idempotency_key)=(hidden) already exists.",
        "violates check\nDETAIL:  Failing row contains (1, hidden,\nhidden too).\nHINT:  kept",
        "boom\n[SQL: INSERT]\n[parameters: ('hidden', 'hidden')]",
    ],
)
def test_row_values_quoted_by_postgres_are_removed(quoting: str) -> None:
    assert "hidden" not in without_rows(quoting)
    line = JsonFormatter("a").format(record("x", "failed", error=quoting))
    assert "hidden" not in line
    try:
        raise ValueError(quoting)
    except ValueError as error:
        made = record("x", "failed")
        made.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter("a").format(made)
    assert "hidden" not in line
    assert "ValueError" in json.loads(line)["exception"]


def test_a_line_is_one_json_object_for_any_content() -> None:
    line = JsonFormatter("a").format(record("x", 'new\nline "quoted" é', amount=object()))
    assert "\n" not in line
    assert json.loads(line)["event"] == 'new\nline "quoted" é'


def test_telemetry_logs_one_line_a_minute_about_itself() -> None:
    once = TelemetryOnceAMinute()
    first = record("opentelemetry.exporter.otlp", "Failed to export")
    assert once.filter(first)
    assert (first.getMessage(), first.__dict__["error"]) == (
        "telemetry_failed",
        "Failed to export",
    )
    assert not any(once.filter(record("opentelemetry.sdk.trace", "again")) for _ in range(100))
    assert once.filter(record("payments_api.app", "ours"))


def test_a_line_sends_no_control_characters_to_a_terminal() -> None:
    hostile = "\x1b]0;owned\x07 \x9b2J \r\nINFO all is well"
    record = logging.makeLogRecord({"msg": f"{hostile}_failed", "levelname": "INFO"})
    record.path = hostile
    try:
        raise ValueError(hostile)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    shown = ConsoleFormatter(colours=False).format(record)
    first, *traceback = shown.split("\n")
    assert "\\x1b]0;owned\\x07 \\x9b2J \\x0d\\x0aINFO all is well" in first
    assert traceback[0].startswith("Traceback")
    controls = {code for code in map(ord, shown) if code < 0x20 or 0x7F <= code < 0xA0}
    assert controls == {ord("\n")}


def test_a_json_line_contains_no_control_characters() -> None:
    hostile = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) + "é\u2028"
    line = JsonFormatter("a").format(record("x", hostile, **{"path": hostile, hostile: 1}))
    assert not {code for code in map(ord, line) if code < 0x20 or 0x7F <= code < 0xA0}
    read = json.loads(line)
    assert (read["event"], read["path"], read[hostile]) == (hostile, hostile, 1)
