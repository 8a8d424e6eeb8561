"""One camt entry (Ntry) and its transactions (TxDtls) as statement lines.

The parts of an entry always sum to it. An entry is split only if the amounts of its transactions,
alone or with the charges that the bank names, sum to it exactly; otherwise it stays one line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from payments_core.domain.statements import Booking
from recon_worker.statements.formats.camt import elements
from recon_worker.statements.formats.camt.details import (
    NO_DETAILS,
    Details,
    entry_amounts,
    foreign,
)
from recon_worker.statements.formats.camt.elements import Money
from recon_worker.statements.formats.model import (
    CHARGES_CODE,
    MalformedStatement,
    StatementLine,
)
from recon_worker.statements.formats.values import Notes, free_text, reference

# A longer batch stays one line, so memory stays bounded.
DETAILS_MAX = 20_000
DETAILS_TEXT_MAX_CHARS = 8 * 1024 * 1024


class EntryContext(NamedTuple):
    """What an entry needs from its statement."""

    number: int
    position: str
    fallback_date: date | None  # For an entry without any date: the statement's own.
    details_left_out: int


def lines_of(
    entry: Element, details: Sequence[Details], context: EntryContext, notes: Notes
) -> list[StatementLine]:
    """Return the entry's lines: one, or the parts that sum to it; none for an amount of zero."""
    at = context.position
    amount = entry.find("Amt")
    if amount is None:
        raise MalformedStatement("the entry has no Amt: ask the bank for a correct file", at)
    direction = elements.sign(entry, at)
    total = elements.money(amount, at, direction)
    if not total.amount:
        notes.add(f"{at} has an amount of zero and is left out")
        return []
    charges = elements.charges(entry, total.currency, at)
    whole = _whole(entry, total, charges, context, notes)
    if context.details_left_out:
        count = len(details) + context.details_left_out
        notes.add(f"{at} has {count} transactions, too many or too long: kept as one line")
        return [whole.line()]
    if not details:
        return [whole.line()]
    only = details[0] if len(details) == 1 else None
    # The usual entry, without computing its parts.
    if only and only.amount_in(total.currency) == total.amount:
        return [whole.line(only)]
    parts = _parts(details, total, charges)
    if only and (parts is None or len(parts) == 1):
        return [whole.line(only)]
    if parts is None:
        notes.add(f"{at}: its transactions do not sum to {total.amount}: kept as one line")
        whole.batch_ref = whole.batch_ref or _shared_batch(details)
        return [whole.line()]
    return [whole.part(number, part) for number, part in enumerate(parts, 1)]


class _Part(NamedTuple):
    amount: Decimal
    details: Details | None  # None for charges.


def _parts(details: Sequence[Details], total: Money, charges: Decimal) -> list[_Part] | None:
    """Return the parts if they sum to the entry, else None."""
    principals = []
    for item in details:
        amount = item.amount_in(total.currency)
        if amount is None:
            return None
        principals.append(_Part(amount, item))
    gap = total.amount - sum((part.amount for part in principals), Decimal(0))
    if gap == 0:
        parts = principals
    elif gap == -sum((item.charges for item in details), Decimal(0)):
        parts = [
            part
            for principal, item in zip(principals, details, strict=True)
            for part in (principal, _Part(-item.charges, None))
        ]
    elif gap == -charges:
        parts = [*principals, _Part(gap, None)]
    else:
        return None
    return [part for part in parts if part.amount]


@dataclass(slots=True)
class _Whole:
    """An entry as one line, from which its parts take what they do not say themselves."""

    number: int
    position: str
    total: Money
    booked_on: date
    valued_on: date | None
    bank_ref: str | None
    batch_ref: str | None
    code: str | None
    reversal: bool
    remittance: str | None
    charges: Decimal | None
    original: Money | None
    booking: Booking

    def line(self, details: Details = NO_DETAILS) -> StatementLine:
        """Return the entry as one line; it may have one transaction."""
        return self._line(0, self.total.amount, details, self.charges, self.original)

    def part(self, number: int, part: _Part) -> StatementLine:
        """Return a part; charges have no reference of a payment, so none can match them."""
        if part.details:
            line = self._line(number, part.amount, part.details, None, None)
            # A transaction with a reference of its own still says to which entry it belongs.
            return line if line.batch_ref else line._replace(batch_ref=self.bank_ref)
        line = self._line(number, part.amount, NO_DETAILS, None, None)
        return line._replace(bank_ref=None, code=CHARGES_CODE)

    def _line(
        self,
        part_no: int,
        amount: Decimal,
        details: Details,
        charges: Decimal | None,
        original: Money | None,
    ) -> StatementLine:
        original = details.original or original
        # By position, which takes a third of the time that names take.
        return StatementLine(
            self.number,
            part_no,
            amount,
            self.total.currency,
            self.booked_on,
            self.valued_on,
            details.end_to_end,
            details.bank_ref or self.bank_ref,
            self.batch_ref or details.batch_ref,
            details.code or self.code,
            self.reversal,
            details.return_reason,
            details.counterparty,
            details.remittance or self.remittance,
            details.charges or charges or None,
            original.amount if original else None,
            original.currency if original else None,
            self.booking,
            self.position,
        )


def _whole(
    entry: Element, total: Money, charges: Decimal, context: EntryContext, notes: Notes
) -> _Whole:
    at = context.position
    valued_on = elements.day(entry.find("ValDt"), at)
    booked_on = elements.day(entry.find("BookgDt"), at) or valued_on
    if booked_on is None:
        booked_on = context.fallback_date
        notes.add(f"{at} has no date: the statement's own holds")
    if booked_on is None:
        raise MalformedStatement("neither the entry nor its statement has a date", at)
    amounts = entry_amounts(entry, 1 if total.amount > 0 else -1, at)
    return _Whole(
        number=context.number,
        position=at,
        total=total,
        booked_on=booked_on,
        valued_on=valued_on,
        bank_ref=reference(entry.findtext("AcctSvcrRef"), at),
        batch_ref=_batch(entry, at),
        code=elements.code(entry),
        reversal=elements.flag(entry, "RvslInd", at),
        remittance=free_text([entry.findtext("AddtlNtryInf", "")], at),
        charges=charges,
        original=foreign(amounts, total.currency),
        booking=elements.booking(entry, at),
    )


def _batch(entry: Element, at: str) -> str | None:
    """Return the batch, if the entry holds one alone."""
    batches = [block.find("Btch") for block in entry.findall("NtryDtls")]
    if not batches or None in batches:
        return None
    named = {
        reference(elements.text_of(batch, "PmtInfId"), at)
        or reference(elements.text_of(batch, "MsgId"), at)
        for batch in batches
    }
    return named.pop() if len(named) == 1 else None


def _shared_batch(details: Sequence[Details]) -> str | None:
    named = {item.batch_ref for item in details}
    return named.pop() if len(named) == 1 else None
