"""Pages of statements: sources, breaks, files, a line or break beside its candidates, a day."""

import asyncio
import re
from collections.abc import Awaitable
from datetime import date
from typing import Any
from urllib.parse import quote

from quart import Blueprint, Response, redirect, request
from quart.typing import ResponseReturnValue

from payments_core.domain.matching import AGE_NAMES, BREAK_CLASSES, BRIDGE_LINES
from payments_core.domain.statements import ACCEPTABLE_PROBLEMS
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_ui.api.client import api_client
from payments_ui.api.errors import ApiProblem
from payments_ui.api.or_none import or_none
from payments_ui.api.recon import Recon
from payments_ui.web.forms import text_of
from payments_ui.web.paging import page_at
from payments_ui.web.responses import flash, render

SOURCE_ROWS = 20  # Each with a report of its own.
PAGE_ROWS = 25
FOUND_ROWS = 20  # Open entries or lines beside an item.
FILTERS = {"status": ("resolved",), "class": BREAK_CLASSES, "age": AGE_NAMES, "sort": ("amount",)}

blueprint = Blueprint("statements", __name__, url_prefix="/statements")


def recon() -> Recon:
    """Return the API's routes of statements."""
    return Recon(api_client())


def address_of(*parts: str) -> str:
    """Return the address of a page below /statements."""
    return "/".join(("/statements", *(quote(part, safe="~") for part in parts)))


@blueprint.get("")
async def index() -> ResponseReturnValue:
    """List sources, each with the verdict of its last day."""
    api = recon()
    page, cursor = await page_at(
        request.args.get("cursor", ""), lambda cursor: api.sources(cursor, SOURCE_ROWS)
    )
    reports = await asyncio.gather(
        *(or_none(api.report(source["name"])) for source in page["sources"])
    )
    return await render(
        "sources.html",
        page=page,
        cursor=cursor,
        rows=list(zip(page["sources"], reports, strict=True)),
    )


@blueprint.get("/<source>")
async def breaks(source: str) -> ResponseReturnValue:
    """List the breaks of a source: open ones by age or amount, or resolved ones."""
    api = recon()
    shown = {name: request.args.get(name, "") for name in FILTERS}
    shown = {name: value if value in FILTERS[name] else "" for name, value in shown.items()}
    shown["assignee"] = request.args.get("assignee", "").strip()[:OPERATOR_MAX_CHARS]
    if shown["status"]:
        shown["age"] = shown["sort"] = ""  # Of open breaks alone.

    def read(cursor: str) -> Awaitable[dict[str, Any]]:
        return api.breaks(source, {**shown, "cursor": cursor, "limit": PAGE_ROWS})

    of_source, report, waiting, (page, cursor) = await asyncio.gather(
        api.source(source),
        or_none(api.report(source)),
        or_none(api.adjustments(source, {"status": "proposed", "limit": FOUND_ROWS})),
        page_at(request.args.get("cursor", ""), read),
    )
    return await render(
        "breaks.html",
        source=of_source,
        report=report,
        waiting=waiting or [],
        page=page,
        cursor=cursor,
        shown={name: value for name, value in shown.items() if value},
        ages=AGE_NAMES,
        classes=BREAK_CLASSES,
        flash=flash(),
    )


@blueprint.get("/<source>/matches")
async def matches(source: str) -> ResponseReturnValue:
    """List the matches of a source: active ones, or undone ones."""
    api = recon()
    undone = request.args.get("status") == "undone"

    def read(cursor: str) -> Awaitable[Any]:
        status = "undone" if undone else "active"
        return api.matches(source, {"status": status, "cursor": cursor, "limit": PAGE_ROWS})

    of_source, (page, cursor) = await asyncio.gather(
        api.source(source), page_at(request.args.get("cursor", ""), read)
    )
    return await render("matches.html", source=of_source, page=page, cursor=cursor, undone=undone)


@blueprint.get("/<source>/matches/<match_id>")
async def match(source: str, match_id: str) -> ResponseReturnValue:
    """Show the first line of a match, which shows the match."""
    found = await recon().match(source, match_id)
    return redirect(address_of(source, "lines", found["lines"][0]["id"]))


@blueprint.get("/<source>/files")
async def files(source: str) -> ResponseReturnValue:
    """List the files of a source, and take new ones."""
    api = recon()

    def read(cursor: str) -> Awaitable[Any]:
        return api.files({"source": source, "cursor": cursor, "limit": PAGE_ROWS})

    of_source, (page, cursor) = await asyncio.gather(
        api.source(source), page_at(request.args.get("cursor", ""), read)
    )
    return await render("files.html", source=of_source, page=page, cursor=cursor, flash=flash())


@blueprint.get("/<source>/files/<file_id>")
async def file(source: str, file_id: str) -> ResponseReturnValue:
    """Show a file: its problem or its statements, and its lines."""
    api = recon()

    def read(cursor: str) -> Awaitable[Any]:
        return api.lines(file_id, {"cursor": cursor, "limit": PAGE_ROWS})

    of_source, found, (page, cursor) = await asyncio.gather(
        api.source(source), api.file(file_id), page_at(request.args.get("cursor", ""), read)
    )
    if found["source"] != source:
        raise ApiProblem(404, "statement_not_found", "No such file", "It is of another source.")
    return await render(
        "file.html",
        source=of_source,
        file=found,
        page=page,
        cursor=cursor,
        acceptable=found["problemCode"] in ACCEPTABLE_PROBLEMS,
        flash=flash(),
    )


@blueprint.get("/<source>/day")
async def day(source: str) -> ResponseReturnValue:
    """Show the reconciliation of a day: the bridge from our balance to the bank's."""
    api = recon()
    of_source, report = await asyncio.gather(api.source(source), api.report(source, _day()))
    return await render("day.html", source=of_source, report=report, bridge=BRIDGE_LINES)


@blueprint.get("/<source>/day.csv")
async def day_csv(source: str) -> ResponseReturnValue:
    """Download the reconciliation of a day."""
    on = _day()
    text = await recon().report_csv(source, on)
    name = re.sub(r"[^a-z0-9-]", "-", f"{source}-{on or 'latest'}")
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text, content_type="text/csv; charset=utf-8", headers=headers)


def _day() -> str:
    """Return the day that the address names, or "" for the last covered one."""
    try:
        return date.fromisoformat(request.args.get("on", "")).isoformat()
    except ValueError:
        return ""


@blueprint.get("/<source>/lines/<line_id>")
async def line(source: str, line_id: str) -> ResponseReturnValue:
    """Show a line of the bank beside our entries."""
    return await _line_page(source, line_id, None)


@blueprint.get("/<source>/breaks/<break_id>")
async def break_(source: str, break_id: str) -> ResponseReturnValue:
    """Show a break: the bank's lines beside our entries."""
    found = await recon().break_(source, break_id)
    if found["side"] == "line":
        return await _line_page(source, str(found["itemId"]), found)
    return await _entry_page(source, found)


async def _line_page(source: str, line_id: str, found: dict[str, Any] | None) -> Response:
    api = recon()
    of_source, item, adjustments = await asyncio.gather(
        api.source(source),
        api.line(source, line_id),
        or_none(api.adjustments(source, {"line": line_id, "limit": FOUND_ROWS})),
    )
    wanted = {name: text_of(request.args, name) for name in ("reference", "amount")}
    searched = any(wanted.values())
    listed = None
    if item["matchId"] is None:
        # Without a search, the other candidates are those of the same amount.
        search = wanted if searched else {"amount": item["amount"]}
        listed = await or_none(api.entries(source, {**search, "limit": FOUND_ROWS}))
    match = None
    if item["matchId"] is not None:
        match = await or_none(api.match(source, item["matchId"]))
    return await render(
        "line.html",
        source=of_source,
        line=item,
        break_=found,
        adjustments=adjustments or [],
        match=match,
        listed=listed,
        searched=searched,
        wanted=wanted,
        flash=flash(),
    )


async def _entry_page(source: str, found: dict[str, Any]) -> Response:
    api = recon()
    of_source, listed = await asyncio.gather(
        api.source(source), or_none(api.open_lines(source, {"limit": FOUND_ROWS}))
    )
    return await render("entry.html", source=of_source, break_=found, listed=listed, flash=flash())
