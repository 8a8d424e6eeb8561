"""The W3C trace context of a request, stored with the payment so that its trace continues."""

import re

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def valid_traceparent(value: str | None) -> str | None:
    """Return the header's value if it is valid (W3C Trace Context, level 1)."""
    return value if value and _TRACEPARENT.match(value) else None
