"""One MT940 or MT942 message, field by field."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from recon_worker.statements.formats.model import (
    Event,
    MalformedStatement,
    StatementEnd,
    StatementHeader,
    StatementLine,
)
from recon_worker.statements.formats.mt940 import details, values
from recon_worker.statements.formats.mt940.records import FIELD_LINES_MAX, Field
from recon_worker.statements.formats.totals import Totals
from recon_worker.statements.formats.values import (
    Notes,
    account_identifier,
    currency_code,
    free_text,
    reference,
)

_BODY = frozenset(["13", "13D", "21", "25", "25P", "28", "28C", "34F", "60F", "60M", "NS"])


class Message:
    """The state of one message while its fields arrive."""

    def __init__(self, number: int, first: Field) -> None:
        self._number = number
        self._position = first.position
        self._bank_id = reference(first.lines[0], first.position)
        self._account: str | None = None
        self._sequence: str | None = None
        self._interim = False  # MT942.
        self._opening: values.Balance | None = None
        self._closing: values.Balance | None = None
        self._currency: str | None = None
        self._stated_on: date | None = None
        self._sums: dict[str, tuple[int, Decimal]] = {}
        self._header: StatementHeader | None = None
        self._line: StatementLine | None = None  # Waits for its :86:.
        self._supplement = ""
        self._description: list[str] = []
        self._lines = 0
        self._all_lines_net = Decimal(0)
        self._totals = Totals()
        self._notes = Notes()

    def take(self, field: Field) -> Iterator[Event]:
        """Take a field; yield the events that it completes."""
        if self._closing and field.tag not in ("64", "65", "86", "NS"):
            raise MalformedStatement(
                f":{field.tag}: after the closing balance: the file is out of order", field.position
            )
        if field.tag == "86":  # Without a line it describes the statement.
            self._description += field.lines
            if len(self._description) > FIELD_LINES_MAX:
                raise MalformedStatement(
                    f"more than {FIELD_LINES_MAX} lines of :86: in a row", field.position
                )
            return
        yield from self._complete_line()
        self._description = []
        if field.tag == "61":
            yield from self._begin(field.position)
            self._line = self._transaction(field)
        elif field.tag in ("62F", "62M"):
            yield from self._begin(field.position)
            self._closing = self._balance(field)
        elif field.tag in ("90C", "90D"):
            self._sums[field.tag] = values.count_and_sum(field.lines[0], field.position)
        elif field.tag not in ("64", "65"):
            self._head(field)

    def end(self, position: str, encoding: str, *, marked: bool) -> Iterator[Event]:
        """Yield the end of the message; marked tells whether an end mark shows it complete."""
        yield from self._begin(position)
        yield from self._complete_line()
        if self._interim and not (marked or self._sums):
            raise MalformedStatement(
                "the MT942 has neither :90C:, :90D: nor an end mark (-): fetch the file again",
                position,
            )
        if not self._interim and not self._closing:
            raise MalformedStatement(
                "the statement ends without its closing balance (:62F:): fetch the file again",
                position,
            )
        opening = self._opening.amount if self._opening else None
        closing = self._closing.amount if self._closing else None
        yield StatementEnd(
            number=self._number,
            encoding=encoding,
            from_on=self._opening.on if self._opening else self._stated_on,
            to_on=self._closing.on if self._closing else self._stated_on,
            opening=opening,
            closing=closing,
            net=self._totals.net,
            entry_count=self._lines,
            reversals_flipped=False,  # RC and RD give the true sign.
            problem=self._totals.problem(opening, closing) or self._miscount(),
            position=self._position,
            notes=self._notes.all(),
        )

    def _head(self, field: Field) -> None:
        value = field.lines[0].strip()
        if self._header or field.tag not in _BODY:
            raise MalformedStatement(
                f":{field.tag}: is not expected here: the file is out of order", field.position
            )
        if field.tag in ("25", "25P"):
            self._account = _account(value)
        elif field.tag in ("28", "28C"):
            self._sequence = reference(value, field.position)
        elif field.tag in ("60F", "60M"):
            self._opening = self._balance(field)
        elif field.tag == "34F":
            self._interim = True
            self._currency = currency_code(value[:3], field.position)
        elif field.tag in ("13", "13D"):
            self._interim = True
            self._stated_on = values.short_date(value[:6].ljust(6), field.position)

    def _begin(self, position: str) -> Iterator[Event]:
        if self._header:
            return
        if not self._account:
            raise MalformedStatement("the account (:25:) is missing", position)
        if self._opening is None and not self._interim:
            raise MalformedStatement(
                "the opening balance (:60F:) is missing: fetch the file again", position
            )
        self._header = StatementHeader(
            number=self._number,
            kind="report" if self._opening is None else "statement",
            format="mt940",
            message="MT942" if self._opening is None else "MT940",
            account=self._account,
            currency=self._currency,
            bank_id=self._bank_id,
            sequence=self._sequence,
            position=self._position,
        )
        yield self._header

    def _balance(self, field: Field) -> values.Balance:
        balance = values.balance(field.lines[0], field.position)
        if self._currency not in (None, balance.currency):
            raise MalformedStatement(
                f":{field.tag}: is in {balance.currency}, but the statement is in {self._currency}",
                field.position,
            )
        self._currency = balance.currency
        return balance

    def _transaction(self, field: Field) -> StatementLine | None:
        self._lines += 1
        position = f":61: number {self._lines} of statement {self._number} ({field.position})"
        if self._currency is None:
            raise MalformedStatement("neither :60F: nor :34F: names the currency", position)
        found = values.transaction(field.lines, self._currency, position)
        if found.note:
            self._notes.add(found.note)
        self._supplement, self._description = found.supplement, []
        return StatementLine(
            line_no=self._lines,
            part_no=0,
            amount=found.amount,
            currency=self._currency,
            booked_on=found.booked_on,
            valued_on=found.valued_on,
            end_to_end=found.customer_ref,
            bank_ref=found.bank_ref,
            batch_ref=None,
            code=found.type_code,
            reversal=found.reversal,
            return_reason=None,
            counterparty=None,
            remittance=free_text([found.supplement], position),
            charges=None,
            original_amount=None,
            original_currency=None,
            booking="pending" if found.expected else "booked",
            position=position,
        )

    def _complete_line(self) -> Iterator[Event]:
        line, self._line = self._line, None
        if line is None:
            return
        if not line.amount:
            self._notes.add(f"{line.position} has an amount of zero and is left out")
            return
        line = self._described(line)
        self._totals.add(line)
        self._all_lines_net += line.amount
        yield line

    def _described(self, line: StatementLine) -> StatementLine:
        """Return the line with the meaning of its :86: and of its supplementary details."""
        at = line.position
        found = details.details(self._description, at)
        text = "\n".join((self._supplement, *self._description))
        original = details.original_amount(text, line.currency, at)
        amount, currency = original or (None, None)
        return line._replace(
            end_to_end=found.end_to_end or line.end_to_end,
            batch_ref=found.batch_ref,
            code="-".join(filter(None, (line.code, found.business_code))) or None,
            return_reason=found.return_reason,
            counterparty=found.counterparty,
            remittance=found.remittance or line.remittance,
            charges=details.charges(text, line.currency, at),
            original_amount=amount.copy_sign(line.amount) if amount else None,
            original_currency=currency if amount else None,
        )

    def _miscount(self) -> str | None:
        """Return how the lines differ from the counts and sums of an MT942, if it has both."""
        if len(self._sums) < 2:
            return None
        (credits_, credit_sum), (debits, debit_sum) = self._sums["90C"], self._sums["90D"]
        if (credits_ + debits, credit_sum - debit_sum) == (self._lines, self._all_lines_net):
            return None
        return (
            f":90C: and :90D: state {credits_ + debits} lines of {credit_sum - debit_sum}, but "
            f"there are {self._lines} of {self._all_lines_net}"
        )


def _account(value: str) -> str | None:
    """Return the account of :25:, without a currency that some banks append after a space."""
    words = value.split()
    if len(words) > 1 and len(words[-1]) == 3 and words[-1].isalpha():
        words.pop()
    return account_identifier("".join(words))
