"""The format of amounts, times and names."""

from datetime import UTC, datetime, timedelta

import pytest

from payments_core.domain.statuses import OPERATOR_ACTIONS
from payments_ui.web.formatting import (
    age,
    done,
    duration,
    elapsed,
    foreign,
    money,
    outcome,
    parse_time,
    status_text,
    time_tag,
)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.00", "0.00"),
        ("1234567.80", "1,234,567.80"),
        ("-1234.5", "−1,234.5"),
        ("500", "500"),
        ("999999999999999.9999", "999,999,999,999,999.9999"),
        ("<b>", "<b>"),
        (None, ""),
    ],
)
def test_an_amount_is_grouped_and_never_rounded(amount: str | None, shown: str) -> None:
    assert money(amount) == shown


def test_a_number_with_too_many_digits_is_shown_unchanged() -> None:
    assert money("9" * 5000) == "9" * 5000


def test_a_time_carries_its_exact_utc() -> None:
    tag = time_tag("2026-11-22T21:18:22.112293Z")
    assert 'datetime="2026-11-22T21:18:22.112293Z"' in tag
    assert 'title="2026-11-22 21:18:22.112293 UTC"' in tag


def test_a_time_with_an_offset_is_converted_to_utc() -> None:
    assert 'datetime="2026-11-22T20:00:00Z"' in time_tag("2026-11-22T21:00:00+01:00")


def test_a_time_out_of_range_in_utc_is_no_time() -> None:
    assert parse_time("0001-01-01T00:00+09:00") is None
    assert parse_time("9999-12-31T23:59-09:00") is None


def test_an_invalid_time_is_shown_escaped() -> None:
    assert time_tag("<script>") == "&lt;script&gt;"
    assert time_tag(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.2, "59 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_a_duration_is_shown_in_suitable_units(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_elapsed_time_is_in_milliseconds_below_a_second() -> None:
    start = "2026-11-22T20:00:00.000000Z"
    assert elapsed(start, "2026-11-22T20:00:00.184000Z") == "184 ms"
    assert elapsed(start, "2026-11-22T20:00:03.200000Z") == "3.2 s"
    assert elapsed(start, None) == ""


def test_a_completed_payment_with_a_discrepancy_is_labelled() -> None:
    assert outcome({"status": "completed", "discrepancyAmount": "0.13"}) == "discrepancy"
    assert outcome({"status": "completed", "discrepancyAmount": None}) == "completed"
    assert outcome({"status": "failed"}) == "failed"


@pytest.mark.parametrize(
    ("status", "text"), [("pending", "Pending"), ("in_review", "In review"), ("failed", "Failed")]
)
def test_a_status_is_shown_in_words(status: str, text: str) -> None:
    assert status_text(status) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (40, "40 s"), (13 * 60 + 5, "13 min"), (5 * 3600, "5 h")]
)
def test_an_age_has_one_unit(seconds: int, text: str) -> None:
    seen_at = datetime.now(UTC) - timedelta(seconds=seconds)
    assert age(seen_at.isoformat()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, <b>", "Grüße, &lt;b&gt;"),
        ("in\u202eevil\u2066\u2069\u200f", "in[U+202E]evil[U+2066][U+2069][U+200F]"),
        ("a\x00\x1b[2J\x85\u2028", "a[U+0000][U+001B][2J[U+0085][U+2028]"),
        ("two\tlines\nof \u0645\u06cc\u200c\u062e", "two\tlines\nof \u0645\u06cc\u200c\u062e"),
    ],
)
def test_a_foreign_text_cannot_steer_the_text_around_it(text: str, shown: str) -> None:
    assert foreign(text) == f"<bdi>{shown}</bdi>"


def test_a_missing_age_is_a_dash() -> None:
    assert age("no time") == "–"


def test_every_operator_action_has_a_verb_in_the_past() -> None:
    assert {done(action).split()[0][-1] for action in OPERATOR_ACTIONS} <= {"d", "e", "t"}
    assert done("receive_statement") == "Received", "its object is the statement file"
    assert done("of_a_newer_release") == "Of a newer release"
