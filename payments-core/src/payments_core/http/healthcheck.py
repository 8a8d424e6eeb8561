"""Check that a service here is ready: python -m payments_core.http.healthcheck PAYMENTS_API

A container engine runs this every few seconds, so it imports little: it takes a tenth of a second,
the whole service one. PREFIX_HOST, and PREFIX_CONTROL_PORT or PREFIX_PORT, name the address. A
second argument is the number of seconds to wait for readiness, for a startup probe.
"""

import os
import sys
import time
from http.client import HTTPConnection, HTTPException

ANSWER_SECONDS_MAX = 3
PAUSE_SECONDS = 0.5


def healthcheck(host: str, port: int, wait_seconds: float = 0.0) -> int:
    """Return 0 once the service at this address is ready, else print why not and return 1."""
    deadline = time.monotonic() + wait_seconds
    while (problem := _problem(host, port)) is not None:
        if time.monotonic() >= deadline:
            print(problem, file=sys.stderr)
            return 1
        time.sleep(PAUSE_SECONDS)
    return 0


def _problem(host: str, port: int) -> str | None:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nosec B104 # noqa: S104 - read, not bound
    connection = HTTPConnection(target, port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == 200:
            return None
        return f"not ready: {answer.read(500).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or error
        return f"no answer from {target}:{port}: {reason}"
    finally:
        connection.close()


if __name__ == "__main__":
    prefix, *seconds = sys.argv[1:]
    port = os.environ.get(f"{prefix}_CONTROL_PORT") or os.environ[f"{prefix}_PORT"]
    wait_seconds = float(seconds[0]) if seconds else 0.0
    sys.exit(healthcheck(os.environ[f"{prefix}_HOST"], int(port), wait_seconds))
