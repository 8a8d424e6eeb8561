"""Background work that is repeated until it is cancelled, whatever fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from payments_core.db.engine import is_unavailable, reason_of

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
    """Log a failure: as an error with its traceback unless the database is unavailable."""
    if is_unavailable(error):
        log.warning(event, extra={"error": reason_of(error)})
    else:
        log.error(event, exc_info=error)
