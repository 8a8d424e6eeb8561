"""A request's query parameters, read strictly: unknown, repeated or malformed ones are refused."""

import re
from datetime import UTC, datetime
from uuid import UUID

from werkzeug.datastructures import MultiDict

from payments_api.auth.tenants import stored_account
from payments_api.http.errors import ValidationFailed
from payments_core.domain.money import MoneyError, decimals_of
from payments_core.domain.payments import is_account_id, is_stored_account_id

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
MOMENT_EXPECTED = "must be a time with its offset, such as 2026-01-31T12:00:00Z"
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})\Z", re.ASCII
)


class Query:
    """The parameters of one request, of which only `allowed` may occur, each once."""

    def __init__(self, arguments: MultiDict[str, str], *allowed: str) -> None:
        for name, values in arguments.lists():
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                raise ValidationFailed.of(name[:100], f"is not a parameter here ({known})")
            if len(values) > 1:
                raise ValidationFailed.of(name, "must be given once")
        self._arguments = arguments

    def text(self, name: str) -> str | None:
        """The parameter as it came, without NUL, which Postgres cannot hold."""
        value = self._arguments.get(name)
        if value is not None and ("\0" in value or len(value) > 1_000):
            raise ValidationFailed.of(name, "is not acceptable text")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of the choices."""
        value = self.text(name)
        if value is not None and value not in choices:
            raise ValidationFailed.of(name, f"must be one of {', '.join(choices)}")
        return value

    def flag(self, name: str) -> bool:
        """true or false; false when absent."""
        return self.choice(name, ("true", "false")) == "true"

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number within bounds."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,9}", value) or not lowest <= int(value) <= highest:
            raise ValidationFailed.of(name, f"must be a whole number from {lowest} to {highest}")
        return int(value)

    def limit(self) -> int:
        """How many rows a page has."""
        return self.integer("limit", LIMIT_DEFAULT, 1, LIMIT_MAX)

    def time(self, name: str) -> datetime | None:
        """A moment in RFC 3339 with its offset, within the years that Postgres knows."""
        value = self.text(name)
        if value is None:
            return None
        # A + that was not escaped arrives as a space.
        value = re.sub(r" (\d{2}:\d{2})\Z", r"+\1", value)
        try:
            return moment_of(value)
        except ValueError as error:
            raise ValidationFailed.of(name, str(error)) from None

    def currency(self, default: str | None = None) -> str | None:
        """A known currency code."""
        value = self.text("currency")
        if value is None:
            return default
        try:
            decimals_of(value)
        except MoneyError as error:
            raise ValidationFailed.of("currency", str(error)) from None
        return value

    def account_id(self, tenant: str | None) -> str | None:
        """An account's id as it is stored, the system's own included."""
        value = self.text("accountId")
        return None if value is None else checked_account_id(value, tenant)


def moment_of(text: str) -> datetime:
    """The moment in UTC that a time in RFC 3339 names. Raises ValueError, saying what to send."""
    try:
        if not _RFC3339.match(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(MOMENT_EXPECTED) from None


def checked_account_id(value: str, tenant: str | None) -> str:
    """The id as it is stored, if the caller's accounts can have it. Raises ValidationFailed."""
    can_be = is_stored_account_id(value) if tenant is None else is_account_id(value)
    if not can_be:
        raise ValidationFailed.of("accountId", "is not an account's id")
    return stored_account(value, tenant)


def uuid_or_none(text: str) -> UUID | None:
    """The id that the text spells in the usual form, upper case or not; None if none."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
