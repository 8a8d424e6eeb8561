"""Pages of a list that is read in both directions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

PageT = TypeVar("PageT", bound=Mapping[str, Any])


async def page_at(cursor: str, read: Callable[[str], Awaitable[PageT]]) -> tuple[PageT, str]:
    """Return the page at the cursor, and the cursor; or the first page, and None.

    If the page before a cursor reaches the top of the list, return the first page instead: the page
    before the cursor could have few rows, and would miss rows that are added above it.
    """
    page = await read(cursor)
    # In a rollout, an older API has no cursor back for some lists.
    if cursor and page.get("previousCursor", cursor) is None:
        return await read(""), ""
    return page, cursor
