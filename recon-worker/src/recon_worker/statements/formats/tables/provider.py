"""Parts that providers' reports share: charges, and a control total for each payout."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from recon_worker.statements.formats.model import (
    CHARGES_CODE,
    Event,
    Format,
    MalformedStatement,
    StatementEnd,
    StatementHeader,
    StatementLine,
)
from recon_worker.statements.formats.tables.cells import amount_reader
from recon_worker.statements.formats.tables.rows import NO_ROWS
from recon_worker.statements.formats.values import Notes

PAYOUTS_MAX = 100_000  # Of one report: each keeps its sum in memory.
PROBLEMS_NAMED_MAX = 3

amount_of = amount_reader(".", None)


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of a report: gross - charges = net."""

    line: StatementLine  # Its amount is the gross.
    charges: Decimal
    payout: str | None
    is_payout: bool


class Report:
    """The one statement of a report while its rows arrive."""

    def __init__(self, provider: Format) -> None:
        self._provider = provider
        self._header: StatementHeader | None = None
        self._payouts: dict[str, tuple[Decimal, bool]] = {}
        self._notes = Notes()
        self._rows = 0
        self._net = Decimal(0)
        self._days: tuple[date, date] | None = None

    def take(self, movement: Movement, account: str | None) -> Iterator[Event]:
        """Take a row; yield its gross and its charges as lines."""
        line = movement.line
        if self._header is None:
            self._header = self._begin(account, line.currency)
            yield self._header
        elif (account, line.currency) != (self._header.account, self._header.currency):
            raise MalformedStatement(
                f"the row is of account {account} in {line.currency}, the first of "
                f"{self._header.account} in {self._header.currency}: export one report for each",
                line.position,
            )
        self._rows += 1
        first, last = self._days or (line.booked_on, line.booked_on)
        self._days = min(first, line.booked_on), max(last, line.booked_on)
        net = line.amount - movement.charges
        self._net += net
        self._count(movement, net)
        parts = [part for part in (line, _charges(movement)) if part.amount]
        if not parts:
            self._notes.add(f"{line.position} has an amount of zero and is left out")
        for number, part in enumerate(parts, 1):
            yield part._replace(part_no=number if len(parts) > 1 else 0)

    def end(self, encoding: str) -> Iterator[Event]:
        """Yield the end of the report."""
        if self._header is None:
            yield self._begin(None, None)
        from_on, to_on = self._days or (None, None)
        yield StatementEnd(
            number=1,
            encoding=encoding,
            from_on=from_on,
            to_on=to_on,
            opening=None,
            closing=None,
            net=self._net,
            entry_count=self._rows,
            reversals_flipped=False,
            problem=self._problem(),
            position="start of file",
            notes=self._notes.all(),
        )

    def _begin(self, account: str | None, currency: str | None) -> StatementHeader:
        return StatementHeader(
            number=1,
            kind="statement",
            format=self._provider,
            message=self._provider,
            account=account,
            currency=currency,
            bank_id=None,
            sequence=None,
            position="start of file",
        )

    def _count(self, movement: Movement, net: Decimal) -> None:
        if movement.payout is None:
            return
        before, paid = self._payouts.get(movement.payout, (Decimal(0), False))
        self._payouts[movement.payout] = before + net, paid or movement.is_payout
        if len(self._payouts) > PAYOUTS_MAX:
            raise MalformedStatement(
                f"more than {PAYOUTS_MAX} payouts: export a shorter period", movement.line.position
            )

    def _problem(self) -> str | None:
        """Return which payouts are not the sum of their rows, and by how much."""
        if not self._rows:
            return NO_ROWS
        texts = [
            f"payout {name}: {residual} is not in its payout row"
            if paid
            else f"payout {name}: rows of {residual} and no payout row"
            for name, (residual, paid) in self._payouts.items()
            if residual
        ]
        if not texts:
            return None
        more = len(texts) - PROBLEMS_NAMED_MAX
        return "; ".join(texts[:PROBLEMS_NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")


def _charges(movement: Movement) -> StatementLine:
    """Return the part that holds charges: no reference of a payment, so none can match it."""
    line = movement.line
    named = line.end_to_end or line.bank_ref
    return line._replace(
        amount=-movement.charges,
        end_to_end=None,
        bank_ref=None,
        code=CHARGES_CODE,
        remittance=f"Charges of {named}" if named else line.remittance,
        original_amount=None,
        original_currency=None,
    )
