"""Lines, matches and breaks that a request names by their ids, if they are of its source."""

from datetime import UTC, date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.item_ids import ItemIds
from payments_api.http.errors import BreakNotFound, LineNotFound, MatchNotFound, ValidationFailed
from payments_api.http.query_params import Query
from payments_api.matching.matching_json import item_of_key
from payments_core.matching.breaks import Break, find_break
from payments_core.matching.matches import ItemNotFound


def today() -> date:
    """Return today in UTC, the default `asOf`."""
    return datetime.now(UTC).date()


def as_of_in(query: Query) -> date:
    """Return the day that a query names, by default today."""
    return query.day("asOf") or today()


def line_number(ids: ItemIds, text: str) -> int:
    """Return the number of a line. Raises LineNotFound."""
    number = ids.number("line", text)
    if number is None:
        raise LineNotFound
    return number


def match_number(ids: ItemIds, text: str) -> int:
    """Return the number of a match. Raises MatchNotFound."""
    number = ids.number("match", text)
    if number is None:
        raise MatchNotFound
    return number


def numbers_in(ids: ItemIds, kind: str, field: str, texts: list[str]) -> list[int]:
    """Return the numbers of items in a body. Raises ValidationFailed."""
    numbers = []
    for text in texts:
        number = ids.number(kind, text)
        if number is None:
            raise ValidationFailed.of(field, f"has {text[:64]}, which is no id of this kind")
        numbers.append(number)
    return numbers


async def break_with(tx: AsyncConnection, source_id: int, ids: ItemIds, text: str) -> Break:
    """Return the break with this id. Raises BreakNotFound."""
    item: tuple[str | None, int | None] = (None, None)
    if ids.tenant is not None:
        key = ids.number("break", text)
        if key is None:
            raise BreakNotFound
        text, item = "", item_of_key(key)
    elif not text.isalnum():
        raise BreakNotFound
    try:
        return await find_break(tx, source_id, text, *item)
    except ItemNotFound:
        raise BreakNotFound from None
