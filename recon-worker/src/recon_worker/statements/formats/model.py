"""The output of a statement reader: for each statement a header, its lines, and its end.

A file holds one or more statements. Events of a statement come in order and are never mixed with
those of another: StatementHeader, StatementLine..., StatementEnd. Balances belong to the end,
because MT940 states the closing balance after the lines.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from payments_core.domain.statements import Booking, StatementKind

Format = Literal["camt", "mt940", "csv", "stripe", "adyen"]

CHARGES_CODE = "CHRG"  # ISO 20022's code; of a part that holds the charges of an entry.


@dataclass(frozen=True, slots=True)
class StatementHeader:
    """The beginning of a statement.

    account has no spaces and is in upper case. account and currency are None where the file
    names none; the source's own then hold.
    """

    number: int  # 1 for the first statement of the file.
    kind: StatementKind
    format: Format
    message: str  # The exact format: "camt.053.001.08", "MT940", "csv", ...
    account: str | None
    currency: str | None
    bank_id: str | None  # The bank's own id of the statement.
    sequence: str | None
    position: str  # "Stmt 2", "line 17", ...


class StatementLine(NamedTuple):  # Made in a third of the time of a frozen dataclass.
    """One movement of the account: an entry, or one of the parts that sum to an entry.

    An entry is either one line with part_no 0, or lines with part_no 1..n whose amounts sum to
    it; never both. A credit is positive, a debit negative, never zero. Dates are the calendar
    dates as written, whatever the time zone. References without meaning (empty, NOTPROVIDED,
    NONREF) are None.
    """

    line_no: int  # The entry's number in its statement, from 1.
    part_no: int
    amount: Decimal
    currency: str
    booked_on: date
    valued_on: date | None
    end_to_end: str | None
    bank_ref: str | None
    batch_ref: str | None
    code: str | None
    reversal: bool
    return_reason: str | None
    counterparty: str | None
    remittance: str | None
    charges: Decimal | None  # The bank's charges named for this line; positive is a cost.
    original_amount: Decimal | None  # In the payment's own currency, signed as amount.
    original_currency: str | None
    booking: Booking
    position: str  # "Ntry 3 of Stmt 1", ":61: number 5", "line 17".


@dataclass(frozen=True, slots=True)
class StatementEnd:
    """The end of a statement: its period, its totals, and whether they agree.

    net sums the booked lines. If reversals_flipped, the lines with reversal=True carry the
    opposite of their true sign: negate their amount (and original_amount) before storing; net
    already counts them negated. problem is None if the statement agrees with its own totals
    (opening + net = closing, a provider's control totals); otherwise it says what does not agree,
    and by how much.
    """

    number: int
    encoding: str  # In which the bytes were read: "ascii" if the file never needed more.
    from_on: date | None
    to_on: date | None
    opening: Decimal | None
    closing: Decimal | None
    net: Decimal
    entry_count: int
    reversals_flipped: bool
    problem: str | None
    position: str
    notes: tuple[str, ...] = ()  # Decisions worth recording, such as entries of zero left out.


Event = StatementHeader | StatementLine | StatementEnd


class MalformedStatement(ValueError):
    """A file that cannot be read as a statement.

    problem says what is wrong and what to do; position says where.
    """

    def __init__(self, problem: str, position: str) -> None:
        super().__init__(f"{position}: {problem}")
        self.problem = problem
        self.position = position
