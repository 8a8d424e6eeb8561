"""Reader of a bank's CSV file by its declared profile."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

from payments_core.statements.csv_profile import CsvProfile, declared_encoding
from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import (
    Event,
    MalformedStatement,
    StatementEnd,
    StatementHeader,
    StatementLine,
)
from recon_worker.statements.formats.source import Source
from recon_worker.statements.formats.tables.cells import amount_reader, date_reader
from recon_worker.statements.formats.tables.rows import NO_ROWS, Dialect, Row, rows
from recon_worker.statements.formats.totals import Totals
from recon_worker.statements.formats.values import (
    Notes,
    account_identifier,
    currency_code,
    free_text,
    reference,
)

_POSITION = "start of file"


def read_csv(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of a CSV file. Raises MalformedStatement and ProfileError."""
    parsed = CsvProfile.parse(profile)
    lines = Lines(source, declared_encoding(profile))
    statement = _CsvStatement(parsed)
    dialect = Dialect(
        parsed.delimiter,
        parsed.quote,
        parsed.skip_rows,
        parsed.footer_rows,
        parsed.last_line_break,
    )
    for row in rows(lines, dialect, parsed.columns.named()):
        yield from statement.take(row)
    yield from statement.end(lines.encoding)


class _CsvStatement:
    """The state of the file's one statement while its rows arrive."""

    def __init__(self, profile: CsvProfile) -> None:
        self._profile = profile
        self._columns = profile.columns
        self._date = date_reader(profile.date_format)
        self._amount = amount_reader(profile.decimal_mark, profile.thousands_mark)
        self._header: StatementHeader | None = None
        self._account: str | None = None
        self._currency = profile.currency or ""
        self._totals = Totals()
        self._notes = Notes()
        self._rows = 0
        self._balances: tuple[Decimal, Decimal] | None = None  # Before the first, after the last.
        self._days: tuple[date, date] | None = None

    def take(self, row: Row) -> Iterator[Event]:
        """Take a row; yield the events that it completes."""
        self._same(row)
        if self._header is None:
            self._header = self._begin()
            yield self._header
        self._rows += 1
        line = self._line(row)
        self._balance(row, line)
        if not line.amount:
            self._notes.add(f"{row.position} has an amount of zero and is left out")
            return
        first, last = self._days or (line.booked_on, line.booked_on)
        self._days = min(first, line.booked_on), max(last, line.booked_on)
        self._totals.add(line)
        yield line

    def end(self, encoding: str) -> Iterator[Event]:
        """Yield the end of the statement, and before it the header if there was no row."""
        if self._header is None:
            yield self._begin()
        opening, closing = self._balances or (None, None)
        from_on, to_on = self._days or (None, None)
        yield StatementEnd(
            number=1,
            encoding=encoding,
            from_on=from_on,
            to_on=to_on,
            opening=opening,
            closing=closing,
            net=self._totals.net,
            entry_count=self._rows,
            reversals_flipped=False,
            problem=self._totals.problem(opening, closing) if self._rows else NO_ROWS,
            position=_POSITION,
            notes=self._notes.all(),
        )

    def _begin(self) -> StatementHeader:
        return StatementHeader(
            number=1,
            kind="statement",
            format="csv",
            message="csv",
            account=self._account,
            currency=self._currency or None,
            bank_id=None,
            sequence=None,
            position=_POSITION,
        )

    def _same(self, row: Row) -> None:
        """Refuse a row of another account or currency than the first row's."""
        account = account_identifier(row.get(self._columns.account))
        currency = self._profile.currency or currency_code(
            row.get(self._columns.currency).upper(), row.position
        )
        if self._header is None:
            self._account, self._currency = account, currency
        elif (account, currency) != (self._account, self._currency):
            raise MalformedStatement(
                f"the row is of account {account} in {currency}, the first of {self._account} in "
                f"{self._currency}: export one file for each account and currency",
                row.position,
            )

    def _line(self, row: Row) -> StatementLine:
        columns, at = self._columns, row.position
        amount = self._signed(row)
        valued = row.get(columns.valued_on)
        original, charges = row.get(columns.original_amount), row.get(columns.charges)
        original_currency = row.get(columns.original_currency).upper()
        foreign = original and original_currency not in ("", self._currency)
        value = (
            self._amount(original, currency_code(original_currency, at), at) if foreign else None
        )
        return StatementLine(
            line_no=row.number,
            part_no=0,
            amount=amount,
            currency=self._currency,
            booked_on=self._date(row[columns.booked_on], at),
            valued_on=self._date(valued, at) if valued else None,
            end_to_end=reference(row.get(columns.end_to_end), at),
            bank_ref=reference(row.get(columns.bank_ref), at),
            batch_ref=reference(row.get(columns.batch_ref), at),
            code=reference(row.get(columns.code), at),
            reversal=False,
            return_reason=None,
            counterparty=free_text([row.get(columns.counterparty)], at),
            remittance=free_text([row[name] for name in columns.remittance], at),
            charges=(self._amount(charges, self._currency, at) or None) if charges else None,
            original_amount=(value.copy_sign(amount) or None) if value is not None else None,
            original_currency=original_currency if value else None,
            booking="pending"
            if row.get(columns.status) in self._profile.pending_values and columns.status
            else "booked",
            position=at,
        )

    def _signed(self, row: Row) -> Decimal:
        columns, at = self._columns, row.position
        if self._profile.sign == "columns":
            cells = [row.get(columns.credit), row.get(columns.debit)]
            values = [self._unsigned(cell, at) if cell else Decimal(0) for cell in cells]
            if all(values) or not any(cells):
                raise MalformedStatement(
                    f"credit is {cells[0]!r:.40} and debit {cells[1]!r:.40}: exactly one must be "
                    "filled",
                    at,
                )
            return values[0] - values[1]
        cell = row[columns.amount or ""]
        if self._profile.sign == "signed":
            return self._amount(cell, self._currency, at)
        if self._profile.sign == "inverted":
            return -self._amount(cell, self._currency, at)
        indicator = row.get(columns.indicator)
        if indicator in self._profile.credit_values:
            return self._unsigned(cell, at)
        if indicator in self._profile.debit_values:
            return -self._unsigned(cell, at)
        raise MalformedStatement(
            f"{indicator!r:.40} is neither in credit_values nor in debit_values of the profile", at
        )

    def _unsigned(self, cell: str, position: str) -> Decimal:
        amount = self._amount(cell, self._currency, position)
        if amount < 0:
            raise MalformedStatement(
                f"{cell!r:.40} has a sign, but the sign rule is {self._profile.sign!r}: correct "
                "the profile",
                position,
            )
        return amount

    def _balance(self, row: Row, line: StatementLine) -> None:
        if self._columns.balance is None or line.booking != "booked":
            return
        after = self._amount(row[self._columns.balance], self._currency, row.position)
        before = after - line.amount
        first_before, last_after = self._balances or (before, after)
        if self._profile.order == "oldest_first":
            self._balances = first_before, after
        else:
            self._balances = before, last_after
