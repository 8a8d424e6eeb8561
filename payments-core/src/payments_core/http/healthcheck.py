"""Whether a service on this machine is ready: python -m payments_core.http.healthcheck PAYMENTS_API

An engine asks this every few seconds, so it imports next to nothing: a tenth of a second instead of
the whole service's one. PREFIX_HOST and PREFIX_PORT say where the service listens.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

ANSWER_SECONDS_MAX = 3


def healthcheck(host: str, port: int) -> int:
    """0 when the service at this address says that it is ready, else 1 and a line why not."""
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
    sys.exit(healthcheck(os.environ[f"{prefix}_HOST"], int(os.environ[f"{prefix}_PORT"])))
