"""Amounts as people type them: grouping and decimal separators of any language, never guessed."""

import re

from payments_core.domain.money import UnknownCurrency, decimals_of

_TYPED = re.compile(r"(-?)([0-9][0-9.,'\s]*)")
_GROUPS = re.compile(r"[0-9]{1,3}([.,' ])[0-9]{2,3}(?:\1[0-9]{2,3})*")  # 2: Indian grouping.


class AmbiguousAmount(ValueError):
    """The amount has two meanings; the message gives both, and how to type each."""


def plain_amount(text: str, currency: str) -> str:
    """Return "1,234.56", "1.234,56" or "1 234,56" as "1234.56", which the API takes.

    Text that is not an amount is returned unchanged: the API reports what is wrong with it. Raises
    AmbiguousAmount for "1.000" and "1,000", which are a thousand or one.
    """
    typed = text.replace("\N{MINUS SIGN}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    matched = _TYPED.fullmatch(typed.strip())
    if matched is None:
        return text
    sign, digits = matched.groups()
    digits = re.sub(r"\s", " ", digits)
    whole, decimals = _split(digits, currency)
    if not whole.isdigit():
        groups = _GROUPS.fullmatch(whole)
        if groups is None or len(whole.rpartition(groups[1])[2]) != 3:
            return text
        whole = whole.replace(groups[1], "")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _split(digits: str, currency: str) -> tuple[str, str]:
    """Return the part before the decimal separator and the part after it."""
    separators = re.sub(r"[0-9]", "", digits)
    last = separators[-1:]
    if last not in (".", ",") or separators.count(last) > 1:
        return digits, ""  # Blanks, apostrophes and a repeated separator can only group digits.
    whole, _, decimals = digits.partition(last)
    may_group = separators == last and len(decimals) == 3 and len(whole) <= 3 and whole != "0"
    if may_group and not (last == "." and _decimals(currency) == 3):
        raise AmbiguousAmount(_either(whole, decimals, currency))
    return whole, decimals


def _decimals(currency: str) -> int:
    try:
        return decimals_of(currency)
    except UnknownCurrency:
        return 2


def _either(whole: str, decimals: str, currency: str) -> str:
    places = _decimals(currency)
    thousands = f"type {whole}{decimals} without a separator"
    if places == 0:
        return f"could be read in two ways: {thousands}"
    fraction = f"{whole}.{decimals[:places]}"
    return f"could be read in two ways: {thousands}, or the decimals as in {fraction}"
