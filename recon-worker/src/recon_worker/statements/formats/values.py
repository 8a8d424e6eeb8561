"""The values of statements: amounts, dates, references and texts, exact or refused."""

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

from payments_core.domain.money import (
    MoneyError,
    UnknownCurrency,
    exact_amount,
    is_currency_code,
    parse_earlier_amount,
)
from payments_core.domain.statements import normalised_account
from recon_worker.statements.formats.model import MalformedStatement

REFERENCE_MAX_CHARS = 255  # ISO 20022 allows 35, SWIFT 16; banks deviate.
TEXT_MAX_CHARS = 20_000
NOTES_MAX = 20
CACHED_MAX = 1_000  # Amounts: an entry and its transaction state the same one.

_NO_REFERENCE = {"", "NOTPROVIDED", "NOT PROVIDED", "NONREF"}
_PLAIN = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,17})?", re.ASCII)
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def currency_code(text: str | None, position: str) -> str:
    """Return the ISO 4217 code, in use or not."""
    code = (text or "").strip()
    if not is_currency_code(code):
        raise MalformedStatement(f"{code!r:.20} is not a currency such as EUR", position)
    return code


def plain_amount(text: str | None, currency: str, position: str) -> Decimal:
    """Return the unsigned amount with the currency's decimals; never round it."""
    written = (text or "").strip()
    if not _PLAIN.fullmatch(written):
        raise MalformedStatement(
            f"{written!r:.40} is not an amount such as 12.34: ask the bank for a correct file",
            position,
        )
    try:
        return _exact_plain(written, currency)
    except MoneyError as error:
        raise MalformedStatement(f"the amount {written} {error}", position) from None


def exact(value: Decimal, currency: str, position: str) -> Decimal:
    """Return the amount with the currency's decimals; never round it."""
    try:
        return _exact(value, currency)
    except MoneyError as error:
        raise MalformedStatement(f"the amount {value:f} {error}", position) from None


def _exact(value: Decimal, currency: str) -> Decimal:
    try:
        return exact_amount(value, currency)
    except UnknownCurrency:  # A code that has left ISO 4217 may have had any decimals.
        return parse_earlier_amount(value)


@lru_cache(CACHED_MAX)
def _exact_plain(written: str, currency: str) -> Decimal:
    return _exact(Decimal(written), currency)


def written_date(text: str | None, position: str) -> date:
    """Return the calendar date of an ISO date or time as written, without converting its zone."""
    written = (text or "").strip()
    if not _ISO_DATE.match(written) or (len(written) > 10 and written[10] not in "TZ+- "):
        raise MalformedStatement(f"{written!r:.40} is not a date such as 2026-11-28", position)
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        raise _no_date(written[:10], position) from None


def calendar_date(year: int, month: int, day: int, position: str) -> date:
    """Return the date, or refuse one that the calendar does not have."""
    try:
        return date(year, month, day)
    except ValueError:
        raise _no_date(f"{year:04}-{month:02}-{day:02}", position) from None


def _no_date(written: str, position: str) -> MalformedStatement:
    return MalformedStatement(
        f"{written} is no date of the calendar: ask the bank for a correct file", position
    )


def account_identifier(text: str | None) -> str | None:
    """Return the account as sources name theirs, or None if the text is empty."""
    return normalised_account(text or "") or None


def reference(text: str | None, position: str) -> str | None:
    """Return the reference, or None for one without meaning such as NOTPROVIDED."""
    if not text:
        return None
    trimmed = text.strip()
    if trimmed.upper() in _NO_REFERENCE:
        return None
    if len(trimmed) > REFERENCE_MAX_CHARS:
        raise MalformedStatement(
            f"a reference has {len(trimmed)} characters, more than {REFERENCE_MAX_CHARS}", position
        )
    return trimmed


def free_text(texts: list[str], position: str) -> str | None:
    """Return the texts, one a line, or None if they are empty."""
    joined = "\n".join(filter(None, map(str.strip, texts)))
    if len(joined) > TEXT_MAX_CHARS:
        raise MalformedStatement(
            f"a text has {len(joined)} characters, more than {TEXT_MAX_CHARS}", position
        )
    return joined or None


class Notes:
    """Decisions worth recording, bounded."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        """Keep the text, or count it when there are enough."""
        if len(self._texts) < NOTES_MAX:
            self._texts.append(text)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """Return the texts, and how many more there were."""
        more = (f"and {self._more} more of these",) if self._more else ()
        return (*self._texts, *more)
