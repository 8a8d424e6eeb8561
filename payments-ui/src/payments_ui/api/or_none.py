"""Parts of a page that may be missing: the API's answer, or None."""

from collections.abc import Awaitable
from typing import TypeVar

from payments_ui.api.errors import ApiProblem, ApiUnavailable, KeyNotAccepted

T = TypeVar("T")


async def or_none(answer: Awaitable[T]) -> T | None:
    """Return the answer, or None if the API gave none. Raises KeyNotAccepted."""
    try:
        return await answer
    except KeyNotAccepted:
        raise
    except (ApiProblem, ApiUnavailable):
        return None
