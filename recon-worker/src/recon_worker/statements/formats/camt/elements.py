"""The elements of camt.052, camt.053 and camt.054: pure functions of one element each.

Tags are local names: the reader has removed the namespace, so one code reads all versions.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from payments_core.domain.statements import Booking
from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.formats.values import (
    currency_code,
    plain_amount,
    written_date,
)

_BOOKING: dict[str, Booking] = {
    "BOOK": "booked",
    "PDNG": "pending",
    "FUTR": "pending",
    "INFO": "information",
}


NOTHING = Decimal(0)
_NO_ELEMENT = Element("")


class Money(NamedTuple):
    """A signed amount in its currency."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance (Bal) of the statement."""

    code: str  # OPBD, CLBD, ...
    money: Money
    on: date | None


def child(element: Element, name: str) -> Element:
    """Return the first child with this name, or an empty element."""
    found = element.find(name)
    return _NO_ELEMENT if found is None else found


def text_of(element: Element | None, *names: str) -> str | None:
    """Return the text of the first element at the path of names."""
    for name in names:
        if element is None:
            return None
        element = element.find(name)
    return None if element is None else element.text


def sign(element: Element, position: str, default: int | None = None) -> int:
    """Return 1 for a credit, -1 for a debit: CdtDbtInd is the true direction of the money."""
    indicator = element.findtext("CdtDbtInd", "").strip()
    if indicator == "CRDT":
        return 1
    if indicator == "DBIT":
        return -1
    if not indicator and default is not None:
        return default
    raise MalformedStatement(f"CdtDbtInd is {indicator!r:.20}, not CRDT or DBIT", position)


def money(element: Element, position: str, direction: int = 1) -> Money:
    """Return the amount of an Amt element."""
    currency = currency_code(element.get("Ccy"), position)
    amount = plain_amount(element.text, currency, position)
    return Money(amount if direction > 0 else -amount, currency)


def day(element: Element | None, position: str) -> date | None:
    """Return the calendar date, as written, of a choice of Dt and DtTm."""
    if element is None:
        return None
    text = element.findtext("Dt") or element.findtext("DtTm")
    return written_date(text, position)


def period_day(element: Element, name: str, position: str) -> date | None:
    """Return the calendar date, as written, of FrDt or FrDtTm (To alike)."""
    text = element.findtext(f"{name}Dt") or element.findtext(f"{name}DtTm")
    return written_date(text, position) if text else None


def balance(element: Element, position: str) -> Balance:
    """Return a Bal element; without CdtDbtInd it is a credit, which the closing then proves."""
    code = (text_of(element, "Tp", "CdOrPrtry", "Cd") or "").strip()
    at = f"Bal {code or '?'} of {position}"
    amount = element.find("Amt")
    if amount is None:
        raise MalformedStatement("the balance has no Amt: ask the bank for a correct file", at)
    return Balance(
        code, money(amount, at, sign(element, at, default=1)), day(element.find("Dt"), at)
    )


def booking(entry: Element, position: str) -> Booking:
    """Return the entry's status: Sts as text before version 7, Sts/Cd since; booked if absent."""
    status = entry.find("Sts")
    if status is None:
        return "booked"
    text = status.findtext("Cd") or status.findtext("Prtry") or status.text
    code = (text or "").strip()
    if code not in _BOOKING:
        raise MalformedStatement(
            f"Sts is {code!r:.20}, not one of {', '.join(sorted(_BOOKING))}", position
        )
    return _BOOKING[code]


def flag(element: Element, name: str, position: str) -> bool:
    """Return an optional Boolean, false if absent."""
    text = (element.findtext(name) or "false").strip()
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise MalformedStatement(f"{name} is {text!r:.20}, not true or false", position)


def code(element: Element) -> str | None:
    """Return BkTxCd: domain, family and subfamily, else the bank's own code."""
    codes = element.find("BkTxCd")
    if codes is None:
        return None
    domain = child(codes, "Domn")
    family = child(domain, "Fmly")
    parts = domain.findtext("Cd"), family.findtext("Cd"), family.findtext("SubFmlyCd")
    named = "-".join([part.strip() for part in parts if part])
    if not named:
        named = (text_of(codes, "Prtry", "Cd") or "").strip()
    return named[:64] or None


def charges(element: Element, currency: str, position: str) -> Decimal:
    """Return the charges in the currency: positive is a cost to the account's holder.

    The records count, else the total: until version 3 each Chrgs holds one amount, since version
    4 one Chrgs holds TtlChrgsAndTaxAmt and a Rcrd for each charge.
    """
    blocks = element.findall("Chrgs")
    if not blocks:
        return NOTHING
    records = [record for block in blocks for record in block.findall("Rcrd")]
    total = NOTHING
    for record in records or blocks:
        amount = record.find("Amt")
        if amount is None:
            amount = record.find("TtlChrgsAndTaxAmt")
        if amount is None:
            continue
        charge = money(amount, position, -sign(record, position, default=-1))
        if charge.currency == currency:
            total += charge.amount
    return total
