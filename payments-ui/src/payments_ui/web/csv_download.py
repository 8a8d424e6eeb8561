"""Lists as CSV: streamed page by page, and safe from formula injection."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from quart import Response

PAGE_ROWS = 200  # The API's own limit for one page.
ROWS_MAX = 200_000  # Fits a spreadsheet, and bounds one download's work.
PAGES_MAX = 10_000  # A page of a filter without an index may be empty.
# Takes a cursor; returns the lines of a page and the next page's cursor.
ReadPage = Callable[[str | None], Awaitable[tuple[list[str], str | None]]]

_NUMBER = re.compile(r"\A-?\d+(\.\d+)?\Z")


def safe_cell(value: object) -> str:
    """Return text that a spreadsheet does not run as a formula (OWASP: CSV injection)."""
    text = str(value)
    risky = text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}
    return f"'{text}" if risky and not _NUMBER.match(text) else text


def csv_line(cells: Iterable[object]) -> str:
    """Return one line, quoted by RFC 4180."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return line.getvalue()


def metadata_cell(metadata: Mapping[str, str]) -> str:
    """Return the metadata as JSON; an empty cell for none."""
    return json.dumps(metadata, ensure_ascii=False) if metadata else ""


async def csv_pages(columns: Sequence[str], read: ReadPage) -> AsyncIterator[str]:
    """Yield the columns' names and then page after page; one page is in memory at a time.

    A list that is too long ends with a line that says so. An error of the API is raised, which
    breaks the download off visibly.
    """
    yield csv_line(columns)
    cursor: str | None = None
    rows = 0
    for _ in range(PAGES_MAX):
        lines, cursor = await read(cursor)
        rows += len(lines)
        yield "".join(lines)
        if not cursor:
            return
        if rows >= ROWS_MAX:
            break
    yield csv_line([f"Incomplete: this list has more than {rows} rows. Narrow it by time."])


def csv_response(lines: AsyncIterator[str], name: str) -> Response:
    """Return a streamed download."""
    response = Response(lines, content_type="text/csv; charset=utf-8")
    response.timeout = None  # The list may be long; each request to the API is bounded.
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response.headers["Content-Disposition"] = disposition
    return response
