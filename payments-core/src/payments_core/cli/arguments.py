"""Types and options of arguments that several commands take."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from payments_core.domain.statuses import OPERATOR_MAX_CHARS, REASON_MAX_CHARS

LIST_LIMIT_MAX = 1_000
SPAN_MAX = timedelta(days=36_500)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

DECORATED = TypeVar("DECORATED", bound=Callable[..., Any])


class WholeNumber(click.ParamType[int]):
    """A number from 1 to `most`, in the digits 0 to 9."""

    name = "number"

    def __init__(self, most: int) -> None:
        self.most = most

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number."""
        raw = str(value)
        if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and 1 <= int(raw) <= self.most):
            self.fail(f"must be a number from 1 to {self.most}, not {raw!r}", param, ctx)
        return int(raw)


class Text(click.ParamType[str]):
    """A text of `least` to `most` characters."""

    name = "text"

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the text."""
        raw = str(value)
        if not self.least <= len(raw) <= self.most or not _is_unicode(raw):
            self.fail(f"must be a text of {self.least} to {self.most} characters", param, ctx)
        return raw


def _is_unicode(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:  # The argument's bytes are not UTF-8.
        return False
    return True


class Span(click.ParamType[timedelta]):
    """A time span such as 12h or 90d."""

    name = "span"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        """Return the span."""
        matched = re.fullmatch(r"(\d{1,6})([smhd])", str(value), re.ASCII)
        span = timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else None
        if span is None or span > SPAN_MAX:
            self.fail("must be a number with the unit s, m, h or d, such as 90d", param, ctx)
        return span


def list_limit(what: str) -> Callable[[DECORATED], DECORATED]:
    """Return the option --limit of a list; `what` names its rows, as in "Jobs"."""
    return click.option(
        "--limit",
        type=WholeNumber(LIST_LIMIT_MAX),
        default=50,
        show_default=True,
        help=f"{what} to list, up to {LIST_LIMIT_MAX}.",
    )


def actor() -> Callable[[DECORATED], DECORATED]:
    """Return the option --actor, the operator to record."""
    return click.option(
        "--actor",
        type=Text(1, OPERATOR_MAX_CHARS),
        default=_this_user,
        show_default="the current user",
        help="The operator to record.",
    )


def reason(chars_max: int = REASON_MAX_CHARS) -> Callable[[DECORATED], DECORATED]:
    """Return the required option --reason of an act that goes on record."""
    return click.option(
        "--reason", type=Text(1, chars_max), required=True, help="The reason, for the audit record."
    )


def _this_user() -> str:
    from payments_core.audit_log import this_user

    return this_user()


def yes() -> Callable[[DECORATED], DECORATED]:
    """Return the option --yes of a command that asks for confirmation."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
