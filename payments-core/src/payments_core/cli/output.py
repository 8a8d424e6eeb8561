"""The output of commands: tables that fit the terminal, times with their zone, progress."""

import json
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate
from typing import Any

import click

from payments_core.domain.payments import utc_text
from payments_core.observability.logs import CONTROL_ESCAPES

COLUMN_CHARS_MIN = 8  # Narrower, a text says nothing; then lines wrap instead.
GAP = "  "


def escaped(text: str) -> str:
    """Return the text without characters that a terminal obeys: clients choose a part of it."""
    return text.translate(CONTROL_ESCAPES)


def as_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return the rows under their headings, at most `width` wide where `texts` can be cut.

    `texts` names the columns that may be cut, widest first: never an id. Without a width, nothing
    is cut. Control characters are escaped.
    """
    cells = [headings, *([escaped(cell) for cell in row] for row in rows)]
    widths = [max(map(shown_width, column)) for column in zip(*cells, strict=True)]
    places = [headings.index(text) for text in texts]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width if width else 0
    while excess > 0 and places:
        widest = max(places, key=lambda place: widths[place])
        cut = min(excess, widths[widest] - COLUMN_CHARS_MIN)
        others = [widths[place] for place in places if place != widest]
        cut = min(cut, max(1, widths[widest] - max(others, default=0)))
        if cut < 1:
            break
        widths[widest] -= cut
        excess -= cut
    lines = (GAP.join(map(_fitted, row, widths)).rstrip() for row in cells)
    return "\n".join(lines)


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str], none: str
) -> None:
    """Print the rows as a table that fits the terminal, or `none` if there are none."""
    print(as_table(headings, rows, texts, terminal_width()) if rows else none)


def print_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON, with times and amounts as text."""
    print(json.dumps(value, default=str, indent=indent))


def shown_width(text: str) -> int:
    """Return how many columns of a terminal the text takes: 2 for 店, 0 for a combining accent."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _fitted(text: str, width: int) -> str:
    if shown_width(text) > width:
        ends = accumulate(map(_columns_of, text))
        text = "".join(c for c, end in zip(text, ends, strict=True) if end < width) + "…"
    return text + " " * (width - shown_width(text))


def terminal_width() -> int | None:
    """Return the width of the terminal, or None if standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def shown_time(at: datetime | None) -> str:
    """Return the time to the second in UTC, as in 2026-11-28 09:30:00Z, or - for None."""
    return "-" if at is None else f"{utc_text(at)[:19].replace('T', ' ')}Z"


def counted(number: int, noun: str) -> str:
    """Return the number with the noun, in the plural unless it is one: 1 match, 2,000 matches."""
    plural = (
        f"{noun}es" if noun.endswith("ch") else f"{noun[:-1]}ies" if noun[-1] == "y" else f"{noun}s"
    )
    return f"{number:,} {noun if number == 1 else plural}"


def file_problem(error: Exception) -> str:
    """Return why a file cannot be used, without its name and the error's number."""
    if isinstance(error, UnicodeDecodeError):
        return "is not a text in UTF-8"
    return getattr(error, "strerror", None) or str(error)


def more(option: str, value: object) -> None:
    """Note on standard error that the list continues, and how."""
    print(f"There are more: add {option} {value}", file=sys.stderr)


def confirm(question: str) -> None:
    """Ask on the terminal; end with status 1 on any answer but yes, and 2 without a terminal."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Add --yes to confirm: there is no terminal to ask on.")
    if not click.confirm(question, err=True):
        print("nothing was changed", file=sys.stderr)
        raise SystemExit(1)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on a terminal's standard error; yield `advance(by)`."""
    started = time.monotonic()

    def rate(done: int | None) -> str:
        return f"{(done or 0) / max(time.monotonic() - started, 0.001):,.0f} {what}/s"

    hidden = not sys.stderr.isatty()
    # With no item the bar would be full before the first step.
    with click.progressbar(
        length=max(total, 1), file=sys.stderr, hidden=hidden, item_show_func=rate, width=24
    ) as bar:
        yield lambda by: bar.update(by, bar.pos + by)
