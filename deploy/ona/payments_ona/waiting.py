"""Bounded waits for other services, which may be starting at the same moment."""

import sys
import time
from collections.abc import Callable

from payments_local.errors import LocalError

POLL_SECONDS = 0.5
SAY_SECONDS = 10.0


def wait_until(what: str, problem: Callable[[], str | None], seconds_max: float) -> None:
    """Return when `problem` returns None. Prints every ten seconds what it waits for.

    Raises LocalError with the last problem after `seconds_max`.
    """
    started = said = time.monotonic()
    while (reason := problem()) is not None:
        now = time.monotonic()
        if now - started > seconds_max:
            raise LocalError(f"{what} did not get ready within {seconds_max:.0f} s: {reason}")
        if now - said > SAY_SECONDS:
            sys.stderr.write(f"waiting for {what}: {reason}\n")
            said = now
        time.sleep(POLL_SECONDS)
