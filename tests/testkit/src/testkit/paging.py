"""Read a list of the API page by page, forward and back again."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

PAGES_MAX = 100


async def read_both_ways(
    read: Callable[[str], Awaitable[Any]], items: str, key: str = "id"
) -> list[Any]:
    """Return all items of a list with several pages, read forward.

    `read` takes the end of the query, "" or "&cursor=...". Asserts that paging back returns the
    same items, and that the first page has no previous page and the last one no next page. Items
    are compared by `key`, because other fields may change meanwhile.
    """

    def keys(pages: Iterable[Any]) -> list[Any]:
        return [item[key] for page in pages for item in page[items]]

    pages = await _pages(read, "", "nextCursor")
    assert len(pages) > 1
    assert pages[0]["previousCursor"] is None
    back = await _pages(read, pages[-1]["previousCursor"], "previousCursor")
    assert keys(reversed(back)) == keys(pages[:-1])
    onward = await _pages(read, back[-1]["nextCursor"], "nextCursor")
    assert keys((back[-1], *onward)) == keys(pages)
    return [item for page in pages for item in page[items]]


async def _pages(read: Callable[[str], Awaitable[Any]], cursor: str | None, by: str) -> list[Any]:
    pages: list[Any] = []
    while cursor is not None and len(pages) < PAGES_MAX:
        pages.append(await read(f"&cursor={cursor}" if cursor else ""))
        cursor = pages[-1][by]
    assert len(pages) < PAGES_MAX, "the pages do not end"
    return pages
