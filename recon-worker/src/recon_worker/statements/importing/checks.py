"""Checks of a file's events against its source, and the rows that they become."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from payments_core.db.engine import AnyRow
from payments_core.domain.statements import Problem
from recon_worker.statements.formats.model import (
    Event,
    MalformedStatement,
    StatementEnd,
    StatementHeader,
    StatementLine,
)

ROWS_MAX = 5_000  # Copied at once.
ROWS_TEXT_MAX_CHARS = 4 * 1024 * 1024
STATEMENTS_MAX = 10_000  # Of one file: each stays in memory until it is stored.

# The columns of statement_staging, in the order of a row: those of a line but its last field, the
# position, which only errors name.
COLUMNS = ("file_id", "number", "row_no", *StatementLine._fields[:-1])
Row = tuple[Any, ...]


class Quarantined(ValueError):
    """A file that cannot be imported: why, in words of the domain and of people, and where."""

    def __init__(self, code: Problem, problem: str, at: str) -> None:
        super().__init__(f"{at}: {problem}")
        self.code, self.problem, self.at = code, problem, at


@dataclass(frozen=True, slots=True)
class ReadStatement:
    """A statement whose lines are staged."""

    header: StatementHeader
    end: StatementEnd


@dataclass(slots=True)
class FileReader:
    """Turns events into rows, and collects the statements. Raises Quarantined, MalformedStatement.

    A bank may put the statements of several accounts into one file: those of `other_accounts`,
    which have sources of their own, are left out. `vouched`: an operator accepts that a statement
    does not close.
    """

    file_id: UUID
    source: AnyRow
    events: Iterator[Event]
    other_accounts: frozenset[str]
    vouched: bool
    statements: list[ReadStatement] = field(default_factory=list)
    _left_out: StatementHeader | None = None  # The last one.
    _header: StatementHeader | None = None  # None within a statement that is left out.
    _row_no: int = 0

    def next_rows(self) -> Sequence[Row]:
        """Return the next rows, up to ROWS_MAX of them; none at the end of the file."""
        rows: list[Row] = []
        chars = 0
        for event in self.events:
            if isinstance(event, StatementHeader):
                self._begin(event)
            elif self._header is None:
                continue
            elif isinstance(event, StatementEnd):
                self._end(event, self._header)
            else:
                rows.append(self._row(event, self._header))
                chars += len(event.remittance or "") + len(event.counterparty or "")
                if len(rows) == ROWS_MAX or chars > ROWS_TEXT_MAX_CHARS:
                    break
        if not rows and not self.statements and self._left_out is not None:
            raise self._of_another_account(self._left_out)
        return rows

    def _begin(self, header: StatementHeader) -> None:
        if header.number > STATEMENTS_MAX:
            problem = f"the file has more than {STATEMENTS_MAX} statements: split it"
            raise Quarantined("malformed", problem, header.position)
        self._header, self._row_no = header, 0
        if header.account is not None and header.account != self.source.account_identifier:
            if header.account not in self.other_accounts:
                raise self._of_another_account(header)
            self._header, self._left_out = None, header
            return
        self._check_currency(header.currency, header.position)

    def _of_another_account(self, header: StatementHeader) -> Quarantined:
        return Quarantined(
            "account",
            f"the statement is of account {header.account}, but the source {self.source.name} is of"
            f" {self.source.account_identifier}: choose its source, or add one",
            header.position,
        )

    def _check_currency(self, currency: str | None, at: str) -> None:
        if currency is not None and currency != self.source.currency:
            raise Quarantined(
                "currency",
                f"the currency is {currency}, but the source {self.source.name} is in"
                f" {self.source.currency}: choose its source, or add one",
                at,
            )

    def _row(self, line: StatementLine, header: StatementHeader) -> Row:
        if line.currency != self.source.currency:
            self._check_currency(line.currency, line.position)
        texts = (
            *(line.end_to_end, line.bank_ref, line.batch_ref, line.code),
            *(line.return_reason, line.counterparty, line.remittance),
        )
        if "\0" in "".join(filter(None, texts)):
            raise Quarantined("malformed", "a text holds the character NUL", line.position)
        self._row_no += 1
        return (self.file_id, header.number, self._row_no, *line[:-1])

    def _end(self, end: StatementEnd, header: StatementHeader) -> None:
        if end.problem is not None and not self.vouched:
            raise Quarantined("balance", end.problem, end.position)
        self.statements.append(ReadStatement(header, end))
        self._header = None


def malformed(error: MalformedStatement) -> Quarantined:
    """Return the error of a reader as the file's problem."""
    return Quarantined("malformed", error.problem, error.position)
