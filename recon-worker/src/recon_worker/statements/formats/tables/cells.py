"""Readers of amounts and dates as a declared profile writes them."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal

from payments_core.statements.csv_profile import date_pattern
from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.formats.values import calendar_date, exact


def date_reader(date_format: str) -> Callable[[str, str], date]:
    """Return the function that reads a date of this format at a position."""
    pattern = date_pattern(date_format)

    def read(text: str, position: str) -> date:
        match = pattern.fullmatch(text)
        if not match:
            raise MalformedStatement(
                f"{text!r:.40} is no date of the format {date_format}: correct the profile's "
                "date_format or the file",
                position,
            )
        found = match.groupdict()
        year = int(found["year"]) if found.get("year") else 2000 + int(found["short"])
        return calendar_date(year, int(found["month"]), int(found["day"]), position)

    return read


def amount_reader(decimal_mark: str, thousands_mark: str | None) -> Callable[..., Decimal]:
    """Return the function that reads an amount: read(text, currency, position)."""
    grouped = rf"[0-9]{{1,3}}(?:{re.escape(thousands_mark)}[0-9]{{3}})+|" if thousands_mark else ""
    pattern = re.compile(
        rf"(?P<before>[+-]?)(?P<whole>{grouped}[0-9]{{1,18}})"
        rf"(?:{re.escape(decimal_mark)}(?P<fraction>[0-9]{{0,17}}))?(?P<after>-?)",
        re.ASCII,
    )

    def read(text: str, currency: str, position: str) -> Decimal:
        match = pattern.fullmatch(text)
        if not match or (match["before"] and match["after"]):
            raise MalformedStatement(
                f"{text!r:.40} is no amount with the decimal mark {decimal_mark!r} and the "
                f"thousands mark {thousands_mark!r}: correct the profile or the file",
                position,
            )
        whole = match["whole"].replace(thousands_mark or " ", "")
        value = Decimal(f"{whole}.{match['fraction'] or 0}")
        return exact(
            -value if "-" in (match["before"], match["after"]) else value, currency, position
        )

    return read
