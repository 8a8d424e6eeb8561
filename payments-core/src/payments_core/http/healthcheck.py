"""Check that a service here is ready: python -m payments_core.http.healthcheck PAYMENTS_API

A container engine runs this every few seconds, so it imports little: it takes a tenth of a second,
the whole service one. PREFIX_HOST, and PREFIX_CONTROL_PORT or PREFIX_PORT, name the address.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

ANSWER_SECONDS_MAX = 3


def healthcheck(host: str, port: int) -> int:
    """Return 0 if the service at this address is ready, else print why not and return 1."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nosec B104 # noqa: S104 - read, not bound
    connection = HTTPConnection(target, port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == 200:
            return 0
        print(f"not ready: {answer.read(500).decode(errors='replace')}", file=sys.stderr)
    except (OSError, HTTPException) as error:
        print(f"no answer from {target}:{port}: {error}", file=sys.stderr)
    finally:
        connection.close()
    return 1


if __name__ == "__main__":
    prefix = sys.argv[1]
    port = os.environ.get(f"{prefix}_CONTROL_PORT") or os.environ[f"{prefix}_PORT"]
    sys.exit(healthcheck(os.environ[f"{prefix}_HOST"], int(port)))
