"""Strict query parameters: unknown, repeated or malformed ones are rejected."""

import re
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import UUID

from werkzeug.datastructures import MultiDict

from payments_api.http.errors import ValidationFailed
from payments_core.domain.ids import uuid_or_none
from payments_core.domain.money import is_currency_code
from payments_core.http.problems import Problem

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
MOMENT_EXPECTED = "must be a time with its offset, such as 2026-01-31T12:00:00Z"
DAY_PATTERN = "^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
_DAY = re.compile(DAY_PATTERN.replace("$", r"\Z"))
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})\Z", re.ASCII
)


ChoiceT = TypeVar("ChoiceT", bound=str)


class Query:
    """The parameters of one request; only `allowed` names may occur, each once."""

    def __init__(self, arguments: MultiDict[str, str], *allowed: str) -> None:
        for name, values in arguments.lists():
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                raise ValidationFailed.of(name[:100], f"is not a parameter of this route ({known})")
            if len(values) > 1:
                raise ValidationFailed.of(name, "must be given only once")
        self._arguments = arguments

    def text(self, name: str) -> str | None:
        """Return the parameter's text; NUL, which Postgres cannot store, is rejected."""
        value = self._arguments.get(name)
        if value is not None and ("\0" in value or len(value) > 1_000):
            raise ValidationFailed.of(name, "must have at most 1000 characters, none of them NUL")
        return value

    def choice(self, name: str, choices: tuple[ChoiceT, ...]) -> ChoiceT | None:
        """Return one of the choices, or None."""
        value = self.text(name)
        if value is None:
            return None
        for choice in choices:
            if value == choice:
                return choice
        raise ValidationFailed.of(name, f"must be one of {', '.join(choices)}")

    def flag(self, name: str) -> bool:
        """Return a boolean; absent means false."""
        return self.choice(name, ("true", "false")) == "true"

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Return an integer within bounds."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,9}", value) or not lowest <= int(value) <= highest:
            raise ValidationFailed.of(name, f"must be an integer from {lowest} to {highest}")
        return int(value)

    def limit(self) -> int:
        """Return the number of rows of a page."""
        return self.integer("limit", LIMIT_DEFAULT, 1, LIMIT_MAX)

    def day(self, name: str) -> date | None:
        """Return a calendar day."""
        value = self.text(name)
        try:
            if value is None:
                return None
            if not _DAY.match(value):
                raise ValueError
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationFailed.of(name, "must be a day such as 2026-01-31") from None

    def time(self, name: str) -> datetime | None:
        """Return an RFC 3339 time with its offset."""
        value = self.text(name)
        if value is None:
            return None
        # An unescaped + arrives as a space.
        value = re.sub(r" (\d{2}:\d{2})\Z", r"+\1", value)
        try:
            return moment_of(value)
        except ValueError as error:
            raise ValidationFailed.of(name, str(error)) from None

    def currency(self, default: str | None = None) -> str | None:
        """Return a currency code, also of a currency that is no longer in use."""
        value = self.text("currency")
        if value is None:
            return default
        if not is_currency_code(value):
            raise ValidationFailed.of("currency", "must be three capital letters, such as USD")
        return value


def moment_of(text: str) -> datetime:
    """Return an RFC 3339 time as UTC. Raises ValueError with the expected format."""
    try:
        if not _RFC3339.match(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(MOMENT_EXPECTED) from None


def checked_uuid(text: str, not_found: type[Problem]) -> UUID:
    """Return the UUID that the text spells in its canonical form. Raises `not_found`."""
    value = uuid_or_none(text)
    if value is None:
        raise not_found
    return value
