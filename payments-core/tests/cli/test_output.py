"""Tables that fit the terminal, times with their zone, and a progress bar on terminals only."""

import os
import pty
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from payments_core.cli import output
from testkit.terminal import read_all

HEADINGS = ("ID", "NAME", "ERROR")
ROWS = [
    ("0a1b2c3d4e5f", "a shop", "timeout " * 30),
    ("1a1b2c3d4e5f", "another shop with a longer name", "refused"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_fits_the_terminal_and_never_cuts_an_id(width: int) -> None:
    table = output.as_table(HEADINGS, ROWS, ("NAME", "ERROR"), width)
    lines = table.splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines] == ["ID", "0a1b2c3d4e5f", "1a1b2c3d4e5f"]
    assert "…" in table


def test_a_pipe_gets_every_character() -> None:
    table = output.as_table(HEADINGS, ROWS, ("NAME", "ERROR"), output.terminal_width())
    assert ROWS[0][2].strip() in table
    assert "…" not in table


def test_a_table_sends_no_control_characters_to_a_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\r\n\x7f\u202e\u2066\u200f\u2028"
    table = output.as_table(HEADINGS, [("0a1b2c3d4e5f", hostile, hostile)])
    assert table.replace("\n", "").isprintable()
    assert len(table.splitlines()) == 2


@pytest.mark.parametrize("width", [None, 32])
def test_columns_align_whatever_the_width_of_a_character(width: int | None) -> None:
    """A name in Japanese, one with a combining accent as macOS writes it, and an emoji."""
    names = ["shop", "日本語の店のとても長い名前", "Mu\u0308nchen", "\N{PARTY POPPER} sale"]
    rows = [("0a1b2c3d4e5f", name, "x") for name in names]
    table = output.as_table(HEADINGS, rows, ("NAME",), width)
    _, *lines = table.splitlines()
    assert {output.shown_width(line.removesuffix("x")) for line in lines} == {
        output.shown_width(lines[0]) - 1
    }
    assert output.shown_width("日本") == 4
    assert output.shown_width("u\u0308") == 1
    assert max(map(output.shown_width, lines)) <= (width or 80)


def test_a_table_narrower_than_its_ids_keeps_them() -> None:
    table = output.as_table(HEADINGS, ROWS, ("NAME", "ERROR"), 10)
    assert "0a1b2c3d4e5f" in table


def test_a_time_is_shown_in_utc_with_its_zone() -> None:
    at = datetime(2026, 11, 28, 10, 30, 59, 999_999, timezone(timedelta(hours=1)))
    assert output.shown_time(at) == "2026-11-28 09:30:59Z"
    assert output.shown_time(at.astimezone(UTC)) == output.shown_time(at)
    assert output.shown_time(None) == "-"


def test_a_terminal_sees_progress_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with output.progress("rows", 100) as advance:
            for _ in range(3):
                time.sleep(0.4)  # The time left is known after a second.
                advance(20)
    shown = read_all(ours)
    assert "60%" in shown
    assert "rows/s" in shown
    assert "00:00:0" in shown, "the time left"


def test_a_pipe_sees_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("rows", 100) as advance:
        advance(50)
    assert capsys.readouterr() == ("", "")
