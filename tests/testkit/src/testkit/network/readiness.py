"""The readiness probe of our services."""

from urllib.request import urlopen

ANSWER_SECONDS_MAX = 2


def is_ready(port: int) -> bool:
    """Return whether /readyz on that port of this machine answers 200 now."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=ANSWER_SECONDS_MAX) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
