"""The declared profile of a CSV file: nothing about it is guessed."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from payments_core.domain.money import CURRENCY_PATTERN
from recon_worker.statements.formats.decode import ProfileError, declared_encoding
from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.formats.tables.rows import Dialect
from recon_worker.statements.formats.values import calendar_date, exact

Column = Annotated[str, Field(min_length=1, max_length=200)]
Mark = Annotated[str, Field(min_length=1, max_length=1)]

_DATE_PARTS = {
    "%d": r"(?P<day>[0-9]{1,2})",
    "%m": r"(?P<month>[0-9]{1,2})",
    "%Y": r"(?P<year>[0-9]{4})",
    "%y": r"(?P<short>[0-9]{2})",
    "%H": r"[0-9]{1,2}",
    "%M": r"[0-9]{2}",
    "%S": r"[0-9]{2}",
}


class Columns(BaseModel):
    """The names of the columns, as the header row writes them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    booked_on: Column
    amount: Column | None = None
    credit: Column | None = None
    debit: Column | None = None
    indicator: Column | None = None
    valued_on: Column | None = None
    currency: Column | None = None
    account: Column | None = None
    balance: Column | None = None
    status: Column | None = None
    end_to_end: Column | None = None
    bank_ref: Column | None = None
    batch_ref: Column | None = None
    code: Column | None = None
    counterparty: Column | None = None
    remittance: tuple[Column, ...] = ()
    charges: Column | None = None
    original_amount: Column | None = None
    original_currency: Column | None = None

    def named(self) -> list[str]:
        """Return every declared name."""
        single = [v for v in self.model_dump().values() if isinstance(v, str)]
        return [*single, *self.remittance]


class CsvProfile(BaseModel):
    """How the bank writes its CSV file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: Mark
    decimal_mark: Literal[".", ","]
    date_format: Annotated[str, Field(max_length=40)]
    sign: Literal["signed", "inverted", "columns", "indicator"]
    columns: Columns
    thousands_mark: Mark | None = None
    quote: Mark = '"'
    encoding: str | None = None
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN)] | None = None
    order: Literal["oldest_first", "newest_first"] = "oldest_first"
    credit_values: tuple[str, ...] = ()
    debit_values: tuple[str, ...] = ()
    pending_values: tuple[str, ...] = ()
    skip_rows: Annotated[int, Field(ge=0, le=1000)] = 0
    footer_rows: Annotated[int, Field(ge=0, le=1000)] = 0
    last_line_break: bool = True

    @classmethod
    def parse(cls, profile: Mapping[str, object] | None) -> "CsvProfile":
        """Return the profile. Raises ProfileError, which lists every problem."""
        if profile is None:
            raise ProfileError("a CSV file needs a profile: declare its delimiter, columns, ...")
        declared_encoding(profile)
        try:
            return cls.model_validate(dict(profile))
        except ValidationError as error:
            problems = (
                f"{'.'.join(map(str, item['loc'])) or 'profile'}: "
                f"{item['msg'].removeprefix('Value error, ')}"
                for item in error.errors()
            )
            raise ProfileError("; ".join(problems)) from None

    @model_validator(mode="after")
    def _consistent(self) -> "CsvProfile":
        columns = self.columns
        needed = {
            "signed": ("amount",),
            "inverted": ("amount",),
            "columns": ("credit", "debit"),
            "indicator": ("amount", "indicator"),
        }[self.sign]
        for name in ("amount", "credit", "debit", "indicator"):
            declared = getattr(columns, name) is not None
            if declared != (name in needed):
                verb = "needs" if name in needed else "does not use"
                raise ValueError(f'the sign rule "{self.sign}" {verb} columns.{name}')
        if self.sign == "indicator" and not (self.credit_values and self.debit_values):
            raise ValueError('the sign rule "indicator" needs credit_values and debit_values')
        if set(self.credit_values) & set(self.debit_values):
            raise ValueError("a value is both in credit_values and debit_values")
        if bool(columns.status) != bool(self.pending_values):
            raise ValueError("columns.status and pending_values go together")
        if bool(columns.original_amount) != bool(columns.original_currency):
            raise ValueError("columns.original_amount and original_currency go together")
        if (columns.currency is None) == (self.currency is None):
            raise ValueError("declare either currency or columns.currency")
        if (
            self.thousands_mark in (self.decimal_mark, "+", "-")
            or (self.thousands_mark or "").isdigit()
        ):
            raise ValueError("thousands_mark must not be the decimal mark, a sign or a digit")
        if not {"\n", "\r", "\0"}.isdisjoint((self.delimiter, self.quote)):
            raise ValueError("delimiter and quote must not be a line break or NUL")
        if self.delimiter == self.quote:
            raise ValueError("delimiter must not be the quote")
        date_pattern(self.date_format)
        return self

    def dialect(self) -> Dialect:
        """Return how the cells are written."""
        return Dialect(
            self.delimiter, self.quote, self.skip_rows, self.footer_rows, self.last_line_break
        )


def date_pattern(date_format: str) -> re.Pattern[str]:
    """Return the pattern of a date format. Raises ValueError."""
    pattern = "".join(
        _DATE_PARTS.get(part, "" if part.startswith("%") else re.escape(part))
        for part in re.split(r"(%.)", date_format)
    )
    parts = [part for part in re.split(r"(%.)", date_format) if part.startswith("%")]
    years = parts.count("%Y") + parts.count("%y")
    days_and_months = parts.count("%d"), parts.count("%m")
    if (
        not set(parts) <= set(_DATE_PARTS)
        or (*days_and_months, years) != (1, 1, 1)
        or len(parts) != len(set(parts))  # A text could match repeated parts in many ways.
    ):
        raise ValueError(
            "date_format needs %d, %m and %Y or %y, and knows %H, %M and %S, each once, as in"
            " %d.%m.%Y"
        )
    return re.compile(pattern, re.ASCII)


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
