"""Arguments and options that the commands of `recon-worker reconcile` share."""

from datetime import UTC, date, datetime
from typing import Any

import click

from payments_core.cli import arguments

STATUSES = (
    "0 done; 1 the source, run, match or line is unknown, or the action is refused;"
    " 2 the database failed."
)
ID = arguments.WholeNumber(2**63 - 1)
SOURCE = click.argument("source")


class Day(click.ParamType[date]):
    """A day such as 2026-11-28."""

    name = "day"

    def convert(self, value: Any, param: Any, ctx: Any) -> date:
        """Return the day."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"must be a day such as 2026-11-28, not {value!r}", param, ctx)


AS_OF = click.option(
    "--as-of",
    type=Day(),
    default=lambda: datetime.now(UTC).date(),
    show_default="today",
    help="Decide what is pending and what is late as of this day.",
)
