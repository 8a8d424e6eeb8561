"""Background work that is repeated until it is cancelled, whatever fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from payments_core.db.engine import is_unavailable, reason_of, sqlstate_of

# Undefined column, table and function: an older schema, until this release's migration has run.
OLDER_SCHEMA = frozenset({"42703", "42P01", "42883"})

log = logging.getLogger(__name__)


async def every(seconds: float, work: Callable[[], Awaitable[object]], failed: str) -> None:
    """Repeat the work, with a pause of `seconds`; log each failure as the event `failed`."""
    while True:
        try:
            await work()
        except Exception as error:
            log_failure(failed, error)
        await asyncio.sleep(seconds)


def log_failure(event: str, error: Exception) -> None:
    """Log a failure and its reason: a warning if the database is unavailable or not yet migrated.

    Anything else is an error, with its traceback.
    """
    if is_unavailable(error) or sqlstate_of(error) in OLDER_SCHEMA:
        log.warning(event, extra={"error": reason_of(error)})
    else:
        log.error(event, extra={"error": reason_of(error)}, exc_info=error)
