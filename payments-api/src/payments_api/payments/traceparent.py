"""W3C trace context as it comes in: kept with the payment, so that its trace goes on."""

import re

from werkzeug.datastructures import Headers

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def traceparent_of(headers: Headers) -> str | None:
    """The caller's traceparent, if it sent a valid one (W3C Trace Context, level 1)."""
    return valid_traceparent(headers.get("traceparent"))


def valid_traceparent(value: str | None) -> str | None:
    """The header's value, if it is a valid one."""
    return value if value and _TRACEPARENT.match(value) else None
