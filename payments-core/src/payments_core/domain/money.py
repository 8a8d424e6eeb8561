"""Exact money: decimals from the wire to the database and back, never a float."""

import re
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from functools import cache

from iso4217 import Currency

AMOUNT_LIMIT = Decimal(10) ** 15  # Exclusive; far above any payment, far below any overflow.
AMOUNT_TEXT_MAX_CHARS = 64  # Longer texts are rejected before they are parsed.
# The grammar of a JSON number (RFC 8259, 6); a quoted amount must match it too.
AMOUNT_TEXT_PATTERN = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
DEFAULT_CURRENCY = "USD"
CURRENCY_PATTERN = "^[A-Z]{3}$"
DECIMALS_MAX = (
    4  # The most decimals of an ISO 4217 currency; a CHECK of the database enforces it too.
)

_TEXT = re.compile(AMOUNT_TEXT_PATTERN.replace("$", r"\Z"))
_CODE = re.compile(CURRENCY_PATTERN.replace("$", r"\Z"))
_LEADING_ZERO = re.compile(r"-?0[0-9]")

# Wide enough that no amount below AMOUNT_LIMIT is ever rounded, and rounding raises.
_STEPS = [Decimal((0, (1,), -decimals)) for decimals in range(DECIMALS_MAX + 1)]
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])


class MoneyError(ValueError):
    """An invalid amount or currency; the text says what is wrong and what to send instead."""


class UnknownCurrency(MoneyError):
    """A currency is an upper-case ISO 4217 code in use, such as USD, EUR or JPY."""


@cache
def _decimals_by_code() -> dict[str, int]:
    # Funds and metals (XAU, XXX, ...) have no minor unit and cannot be paid in.
    return {c.code: c.exponent for c in Currency if c.exponent is not None}


def is_currency_code(value: object) -> bool:
    """Return whether the value has the form of an ISO 4217 code, in use or not."""
    return isinstance(value, str) and _CODE.match(value) is not None


def currencies() -> list[str]:
    """Return the accepted ISO 4217 codes, sorted."""
    return sorted(_decimals_by_code())


def decimals_of(currency: str) -> int:
    """Return the currency's number of decimals: USD 2, JPY 0, BHD 3.

    Raises UnknownCurrency.
    """
    try:
        return _decimals_by_code()[currency]
    except (KeyError, TypeError):
        raise UnknownCurrency(UnknownCurrency.__doc__) from None


def exact_amount(value: Decimal, currency: str) -> Decimal:
    """Return the amount with exactly the currency's decimals: 100, 100.0 and 1e2 become 100.00.

    Accepts negative and zero amounts; -0.00 becomes 0.00. Raises MoneyError for an amount that
    would have to be rounded, for NaN and infinities, and from AMOUNT_LIMIT.
    """
    decimals = decimals_of(currency)
    try:
        return _exact(value, decimals)
    except DecimalException:
        raise MoneyError(f"must not have more than {decimals} decimals in {currency}") from None


def _exact(value: Decimal, decimals: int) -> Decimal:
    # Check the exponent first: expanding 1e999999999 would take all memory.
    if not value.is_finite() or (value and value.adjusted() >= AMOUNT_LIMIT.adjusted()):
        raise MoneyError("must be a finite number between -10^15 and 10^15, both excluded")
    if not value:
        return Decimal((0, (0,), -decimals))
    return value.quantize(_STEPS[decimals], context=_EXACT)


def parse_amount(raw: object, currency: str) -> Decimal:
    """Return the exact amount of a JSON value: a Decimal, an int, or a text such as "100.00".

    The JSON reader makes Decimals, so a float never arrives here. Raises MoneyError.
    """
    return exact_amount(_number(raw), currency)


def parse_earlier_amount(raw: object) -> Decimal:
    """Parse an amount whose currency may have had any decimals. Raises MoneyError."""
    try:
        return _exact(_number(raw), DECIMALS_MAX)
    except DecimalException:
        raise MoneyError(f"must not have more than {DECIMALS_MAX} decimals") from None


def parse_amount_as(raw: object, stored: Decimal) -> Decimal:
    """Parse an amount with the decimals of a stored one of its currency. Raises MoneyError."""
    decimals = max(0, -int(stored.as_tuple().exponent))
    try:
        return _exact(_number(raw), decimals)
    except DecimalException:
        raise MoneyError(f"must not have more than {decimals} decimals") from None


def _number(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, (Decimal, int, str)):
        raise MoneyError('must be a JSON number or a string such as "100.00"')
    return _decimal_of_text(raw) if isinstance(raw, str) else Decimal(raw)


def _decimal_of_text(text: str) -> Decimal:
    # Decimal() alone would accept "1_000", " 1 ", "+1", "1.", "NaN" and Arabic digits.
    if len(text) > AMOUNT_TEXT_MAX_CHARS or not _TEXT.match(text):
        if _LEADING_ZERO.match(text):
            raise MoneyError("must not have leading zeros")
        raise MoneyError('must be a plain decimal such as "100.00"')
    try:
        return Decimal(text)
    except DecimalException:
        raise MoneyError('must be a plain decimal such as "100.00"') from None


def zero_in(currency: str) -> Decimal:
    """Return zero with the currency's decimals, or without decimals if the code is not in use."""
    return Decimal((0, (0,), -_decimals_by_code().get(currency, 0)))


def currency_text(amount: Decimal, currency: str) -> str:
    """Return the amount as text, with at least the currency's decimals."""
    return amount_text(amount + zero_in(currency))


def amount_text(amount: Decimal) -> str:
    """Return the amount as text, with the decimals of the stored number.

    The currency may have other decimals today, or have left ISO 4217.
    """
    return f"{amount:f}"
