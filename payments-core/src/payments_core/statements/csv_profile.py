"""The profile of a source: how its bank writes CSV files, or which encoding its files have."""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from payments_core.domain.money import CURRENCY_PATTERN

# ASCII, and in it what codecs of escapes and of host names read as other characters.
_ASCII = bytes(range(0x5C)) + bytes(range(0x5D, 0x80)) + rb" \u0041.xn--mnchen-3ya"

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


class ProfileError(ValueError):
    """An invalid profile of a source; the text lists every problem and what to write instead."""


def declared_encoding(profile: Mapping[str, object] | None) -> str | None:
    """Return the profile's encoding, by its canonical name. Raises ProfileError."""
    value = (profile or {}).get("encoding")
    if value is None:
        return None
    try:
        name = codecs.lookup(value).name if isinstance(value, str) else ""
        if _ASCII.decode(name) != _ASCII.decode("ascii"):  # Also codecs of no text encoding.
            name = ""
    except (LookupError, ValueError, TypeError):
        name = ""
    if not name:
        raise ProfileError(
            f"encoding: {value!r:.40} is not an encoding that extends ASCII: "
            'write one such as "utf-8", "cp1252" or "iso-8859-15"'
        )
    return name


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


def check_profile(
    format: str,  # noqa: A002 - the column's name.
    profile: object,
) -> None:
    """Refuse a profile that the format's reader cannot use. Raises ProfileError."""
    if profile is not None and not isinstance(profile, Mapping):
        raise ProfileError('write an object such as {"encoding": "cp1252"}')
    if format == "csv":
        CsvProfile.parse(profile)
        return
    unknown = sorted(set(profile or ()) - {"encoding"})
    if unknown:
        raise ProfileError(
            f"{', '.join(unknown):.200}: a profile of the format {format} holds an encoding alone"
        )
    declared_encoding(profile)
