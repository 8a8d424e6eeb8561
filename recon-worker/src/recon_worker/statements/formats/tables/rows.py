"""The rows of a CSV file: one header row, then rows of the same width."""

import csv
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import MalformedStatement

COLUMNS_MAX = 1_000
ROW_LINES_MAX = 200  # A cell in quotes may have several.
NO_ROWS = "the file has a header and no rows: it may be cut off"
_INCOMPLETE = (
    "the last row has no line break, so the file may be cut off: fetch it again, or declare "
    '"last_line_break": false in the profile'
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row, its cells by the header's names."""

    number: int  # From 1, without the header.
    position: str
    cells: Sequence[str]
    columns: dict[str, int]

    def __getitem__(self, column: str) -> str:
        return self.cells[self.columns[column]].strip()

    def get(self, column: str | None) -> str:
        """Return the cell, or "" if the file does not have the column."""
        return self[column] if column in self.columns else ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells are written."""

    delimiter: str = ","
    quote: str = '"'
    skip_rows: int = 0  # Before the header.
    footer_rows: int = 0
    last_line_break: bool = True


def rows(lines: Lines, dialect: Dialect, needed: Sequence[str]) -> Iterator[Row]:
    """Yield the rows; refuse a file without the needed columns."""
    held: deque[tuple[str, list[str]]] = deque()
    records = _records(lines, dialect)
    header = next(records, None)
    columns = _columns(header, needed)
    number = 0
    for record in records:
        held.append(record)
        if len(held) <= dialect.footer_rows:
            continue
        position, cells = held.popleft()
        if len(cells) != len(columns):
            raise MalformedStatement(
                f"the row has {len(cells)} cells, the header {len(columns)}: check the delimiter "
                "and the quotes, or fetch the file again",
                position,
            )
        number += 1
        yield Row(number, position, cells, columns)
    if dialect.last_line_break and not lines.last_is_complete:
        raise MalformedStatement(_INCOMPLETE, lines.position)


def _records(lines: Lines, dialect: Dialect) -> Iterator[tuple[str, list[str]]]:
    texts = iter(lines)
    for _ in range(dialect.skip_rows):
        next(texts, None)
    begun_at = lines.number

    def bounded() -> Iterator[str]:
        for text in texts:
            if lines.number - begun_at > ROW_LINES_MAX:
                raise MalformedStatement(
                    f"the row has more than {ROW_LINES_MAX} lines: check the quotes",
                    f"line {begun_at + 1}",
                )
            yield f"{text}\n"

    reader = csv.reader(
        bounded(),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        strict=True,
    )
    while True:
        begun_at = lines.number
        position = f"line {begun_at + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise MalformedStatement(
                f"the row is no CSV ({error}): check the delimiter and the quotes", position
            ) from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield position, cells


def _columns(header: tuple[str, list[str]] | None, needed: Sequence[str]) -> dict[str, int]:
    if header is None:
        raise MalformedStatement("the file has no header row: choose another file", "line 1")
    position, cells = header
    if len(cells) > COLUMNS_MAX:
        raise MalformedStatement(f"the header has more than {COLUMNS_MAX} columns", position)
    names = [cell.strip() for cell in cells]
    times = Counter(names)
    for name in needed:
        if times[name] != 1:
            raise MalformedStatement(
                f"the header has {times[name]} columns {name!r}, not one: it has "
                f"{', '.join(names):.500}",
                position,
            )
    # A name that occurs twice is no name: no column of the profile may be it.
    return {f"{name}#{at}" if times[name] > 1 else name: at for at, name in enumerate(names)}
