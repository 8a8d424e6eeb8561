"""The profile of a source as it is stored: JSON that Postgres holds, of a bounded size."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from payments_core.domain.statements import PROFILE_MAX_BYTES

DEPTH_MAX = 5
WHOLE_NUMBER_LIMIT = 10**9


def storable_profile(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile with plain numbers. Raises ValueError, whose text says what it must be."""
    stored: dict[str, Any] = _storable(profile, DEPTH_MAX)
    try:
        size_bytes = len(json.dumps(stored, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise ValueError("must not hold lone surrogates") from None
    if size_bytes > PROFILE_MAX_BYTES:
        raise ValueError(f"must have at most {PROFILE_MAX_BYTES} bytes")
    return stored


def _storable(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"must be nested at most {DEPTH_MAX} levels deep")
    if isinstance(value, Mapping):
        return {_storable(k, depth): _storable(v, depth - 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not hold the character NUL")
    if isinstance(value, bool | str | None):
        return value
    number = Decimal(value)  # From a Decimal of the API, or a number of a file.
    if number.is_finite() and abs(number) < WHOLE_NUMBER_LIMIT and number == int(number):
        return int(number)
    raise ValueError("must hold whole numbers alone, below 10^9")
