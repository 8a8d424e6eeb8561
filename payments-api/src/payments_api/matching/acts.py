"""Operators' decisions on lines and breaks: match, undo, explain, ignore, reopen, annotate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import RECON_WRITE
from payments_api.auth.item_ids import ItemIds, item_ids
from payments_api.auth.middleware import requires
from payments_api.auth.operator import acting_operator
from payments_api.http.errors import LineNotFound, MatchNotFound, MatchRefused
from payments_api.http.json_body import read_json_object
from payments_api.matching import queries
from payments_api.matching.act_schemas import (
    AnnotateRequest,
    LineRequest,
    MatchRequest,
    UndoRequest,
)
from payments_api.matching.lookups import (
    break_with,
    line_number,
    match_number,
    numbers_in,
    today,
)
from payments_api.matching.matching_json import break_json, line_detail_json, match_json
from payments_api.operations.requests import parse_model
from payments_api.services import services
from payments_api.statements.lookups import source_named
from payments_core.db.engine import AnyRow
from payments_core.domain.matching import Act
from payments_core.matching import matches
from payments_core.matching.breaks import annotate
from payments_core.matching.candidates import describe_line, is_open_line
from payments_core.matching.lines import set_aside

matching_acts = Blueprint("matching_acts", __name__)


@matching_acts.post("/sources/<source>/matches")
@requires(RECON_WRITE)
async def post_match(source: str) -> ResponseReturnValue:
    """Match one line with entries, or lines with one entry, of equal sums."""
    body = parse_model(MatchRequest, await read_json_object(request))
    operator, ids = acting_operator(body.actor), item_ids()
    lines = numbers_in(ids, "line", "lines", body.lines)
    entries = numbers_in(ids, "entry", "entries", body.entries)
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        made = await matches.match_by_hand(tx, row.id, lines, entries, operator, body.reason)
        answer = await _match_json(tx, row, made, ids)
    return answer, 201, {"Location": f"/sources/{source}/matches/{answer['id']}"}


@matching_acts.post("/sources/<source>/matches/<match_id>/undo")
@requires(RECON_WRITE)
async def post_undo(source: str, match_id: str) -> ResponseReturnValue:
    """Undo a match: its lines and entries are open as before. No run makes it again."""
    decision = parse_model(UndoRequest, await read_json_object(request))
    operator, ids = acting_operator(decision.actor), item_ids()
    number = match_number(ids, match_id)
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        try:
            await matches.undo_match(tx, row.id, number, operator, decision.reason)
        except matches.ItemNotFound:
            raise MatchNotFound from None
        return await _match_json(tx, row, number, ids)


@matching_acts.post("/sources/<source>/lines/<line_id>/explain")
@requires(RECON_WRITE)
async def post_explain(source: str, line_id: str) -> ResponseReturnValue:
    """Set an open line aside: it is known, such as a fee."""
    return await _set_aside(source, line_id, "explain")


@matching_acts.post("/sources/<source>/lines/<line_id>/ignore")
@requires(RECON_WRITE)
async def post_ignore(source: str, line_id: str) -> ResponseReturnValue:
    """Set an open line aside: it is not ours."""
    return await _set_aside(source, line_id, "ignore")


@matching_acts.post("/sources/<source>/lines/<line_id>/reopen")
@requires(RECON_WRITE)
async def post_reopen(source: str, line_id: str) -> ResponseReturnValue:
    """Open a line that was set aside."""
    return await _set_aside(source, line_id, "reopen")


async def _set_aside(source: str, line_id: str, act: Act) -> dict[str, Any]:
    decision = parse_model(LineRequest, await read_json_object(request))
    operator, ids = acting_operator(decision.actor), item_ids()
    number = line_number(ids, line_id)
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        await set_aside(tx, row.id, number, act, operator, decision.reason)
        line = await queries.find_line(tx, row.id, number)
        if line is None:
            raise LineNotFound
        found = await describe_line(tx, number) if is_open_line(line) else None
    return line_detail_json(line, found, ids)


@matching_acts.post("/sources/<source>/breaks/<break_id>/annotate")
@requires(RECON_WRITE)
async def post_annotate(source: str, break_id: str) -> ResponseReturnValue:
    """Assign a break to a person, or write its note; an empty text removes either."""
    body = parse_model(AnnotateRequest, await read_json_object(request))
    operator, ids = acting_operator(body.actor), item_ids()
    async with acting(ids) as tx:
        row = await source_named(tx, source)
        found = await break_with(tx, row.id, ids, break_id)
        await annotate(tx, row.id, found.row.id, operator, body.assignee, body.note)
        found = await break_with(tx, row.id, ids, break_id)
    return break_json(found, today(), row.currency, ids)


@asynccontextmanager
async def acting(ids: ItemIds) -> AsyncIterator[AsyncConnection]:
    """Open a transaction for an act. Raises LineNotFound, MatchRefused."""
    try:
        async with services().write() as tx:
            yield tx
    except matches.ItemNotFound:
        raise LineNotFound from None
    except matches.MatchRefused as refused:
        text = refused.told(ids.shown)
        raise MatchRefused(f"{text[:1].upper()}{text[1:]}.") from None


async def _match_json(
    tx: AsyncConnection, source: AnyRow, match_id: int, ids: ItemIds
) -> dict[str, Any]:
    found = await queries.find_match(tx, source.id, match_id)
    if found is None:
        raise MatchNotFound
    return match_json(found, await queries.legs_of(tx, match_id), source.currency, ids)
