"""The values of MT940's fields: balances, statement lines, dates and amounts."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.formats.values import (
    calendar_date,
    currency_code,
    exact,
    reference,
)

_CENTURY_PIVOT = 80  # SWIFT: a year from 80 on is in the 20th century.
_AMOUNT = r"[0-9]{1,15},[0-9]{0,6}"
_BALANCE = re.compile(rf"([CD])([0-9]{{6}})([A-Z]{{3}})({_AMOUNT})", re.ASCII)
_SUM = re.compile(rf"([0-9]{{1,6}})([A-Z]{{3}})({_AMOUNT})", re.ASCII)
_LINE = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4})?(?P<mark>RC|RD|EC|ED|C|D)(?P<funds>[A-Z])?"
    rf"(?P<amount>{_AMOUNT})(?P<type>[A-Z][A-Z0-9]{{3}})?(?P<references>.*)",
    re.ASCII,
)
_SIGNS = {"C": 1, "D": -1, "RC": -1, "RD": 1, "EC": 1, "ED": -1}


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance (:60F:, :62F:, ...): signed amount, currency and date."""

    amount: Decimal
    currency: str
    on: date


@dataclass(frozen=True, slots=True)
class Transaction:
    """A statement line (:61:)."""

    amount: Decimal
    booked_on: date
    valued_on: date
    reversal: bool
    expected: bool
    type_code: str | None
    customer_ref: str | None
    bank_ref: str | None
    supplement: str
    note: str | None


def balance(text: str, position: str) -> Balance:
    """Return the value of :60F:, :60M:, :62F: or :62M:."""
    match = _BALANCE.fullmatch(text.strip())
    if not match:
        raise MalformedStatement(
            f"{text!r:.60} is not a balance such as C261128EUR1234,56", position
        )
    mark, day, currency, amount = match.groups()
    currency_code(currency, position)
    value = decimal(amount, currency, position)
    return Balance(value if mark == "C" else -value, currency, short_date(day, position))


def count_and_sum(text: str, position: str) -> tuple[int, Decimal]:
    """Return the value of :90C: or :90D:."""
    match = _SUM.fullmatch(text.strip())
    if not match:
        raise MalformedStatement(f"{text!r:.60} is not a sum such as 2EUR1234,56", position)
    return int(match[1]), decimal(match[3], match[2], position)


def transaction(lines: list[str], currency: str, position: str) -> Transaction:
    """Return the value of :61:: its line, and the supplementary details after it."""
    match = _LINE.fullmatch(lines[0].rstrip())
    if not match:
        raise MalformedStatement(
            f"{lines[0]!r:.60} is not a statement line such as 2611281128C1234,56NTRFREF//BANKREF: "
            "ask the bank for a correct file",
            position,
        )
    mark = match["mark"]
    amount = decimal(match["amount"], currency, position)
    valued_on, note = _value_date(match["value"], position)
    customer_ref, _, bank_ref = match["references"].partition("//")
    return Transaction(
        amount=_SIGNS[mark] * amount,
        booked_on=entry_date(match["entry"], valued_on, position) if match["entry"] else valued_on,
        valued_on=valued_on,
        reversal=mark in ("RC", "RD"),
        expected=mark in ("EC", "ED"),
        type_code=match["type"],
        customer_ref=_reference(customer_ref, position),
        bank_ref=reference(bank_ref, position),
        supplement="\n".join(lines[1:]).strip(),
        note=note,
    )


def decimal(text: str, currency: str, position: str) -> Decimal:
    """Return the amount: the comma is the decimal mark, and may be its last character."""
    return exact(Decimal(text.replace(",", ".")), currency, position)


def short_date(text: str, position: str) -> date:
    """Return the date of YYMMDD."""
    return calendar_date(_year(text), int(text[2:4]), int(text[4:6]), position)


def entry_date(month_and_day: str, valued_on: date, position: str) -> date:
    """Return the date of MMDD, which has no year: the nearest to the value date."""
    month, day = int(month_and_day[:2]), int(month_and_day[2:])
    candidates = []
    for year in (valued_on.year, valued_on.year - 1, valued_on.year + 1):
        try:
            candidates.append(date(year, month, day))
        except ValueError:
            continue
    if not candidates:
        return calendar_date(valued_on.year, month, day, position)  # Refuses it.
    return min(candidates, key=lambda candidate: abs(candidate - valued_on))


def _value_date(text: str, position: str) -> tuple[date, str | None]:
    # Months of 30 days bear interest at some banks, February too.
    year, month, day = _year(text), int(text[2:4]), int(text[4:6])
    last = date(year, 3, 1) - timedelta(days=1)
    if month == 2 and last.day < day <= 30:
        return last, f"{position}: value date 30 February is read as {last}"
    return calendar_date(year, month, day, position), None


def _year(text: str) -> int:
    year = int(text[:2])
    return year + (1900 if year >= _CENTURY_PIVOT else 2000)


def _reference(text: str, position: str) -> str | None:
    # "KREF+" and "EREF+" say only that the reference is in :86:.
    return None if text.strip().endswith("+") else reference(text, position)
