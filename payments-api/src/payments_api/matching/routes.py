"""/sources/{source}/...: reports, runs, breaks, open lines and entries, matches."""

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.auth.caller import RECON_READ
from payments_api.auth.item_ids import item_ids
from payments_api.auth.middleware import requires
from payments_api.http.errors import LineNotFound, MatchNotFound, ValidationFailed
from payments_api.http.pagination import ASCENDING, HiddenPage
from payments_api.http.query_params import Query
from payments_api.matching import queries
from payments_api.matching.history import listed_matches, resolved_breaks
from payments_api.matching.lookups import as_of_in, break_with, line_number, match_number
from payments_api.matching.matching_json import (
    break_json,
    break_key,
    entry_json,
    line_detail_json,
    match_json,
    of_source_json,
    report_csv,
    report_json,
    run_json,
    walk_of_items,
)
from payments_api.services import services
from payments_api.statements.lookups import source_named
from payments_core.db.engine import AnyRow
from payments_core.domain.matching import (
    AGE_NAMES,
    BREAK_CLASSES,
    BREAK_ORDERS,
    BREAK_STATUSES,
    days_of_age,
)
from payments_core.domain.money import MoneyError, parse_earlier_amount
from payments_core.domain.statements import OPEN_LINE_STATUSES
from payments_core.matching.breaks import BreakFilter, list_breaks
from payments_core.matching.bridge import Bridge, last_covered_day, read_bridge
from payments_core.matching.candidates import describe_line, is_open_line

matching = Blueprint("matching", __name__)


@matching.get("/sources/<source>/report")
@requires(RECON_READ)
async def get_report(source: str) -> ResponseReturnValue:
    """Retrieve the reconciliation of a source's day: the verdict, and the bridge to the bank."""
    row, bridge = await _bridge(source)
    return report_json(source, row.currency, bridge)


@matching.get("/sources/<source>/report.csv")
@requires(RECON_READ)
async def get_report_csv(source: str) -> ResponseReturnValue:
    """Download the reconciliation of a source's day as CSV, one line of the bridge in each row."""
    row, bridge = await _bridge(source)
    name = f"{source.replace('~', '-')}-{bridge.on}.csv"
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return report_csv(report_json(source, row.currency, bridge)), headers


async def _bridge(source: str) -> tuple[AnyRow, Bridge]:
    query = Query(request.args, "on", "asOf")
    on, as_of = query.day("on"), as_of_in(query)
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        day = on or await last_covered_day(tx, row.id, as_of) or as_of
        return row, await read_bridge(tx, row.id, day, as_of)


@matching.get("/sources/<source>/runs")
@requires(RECON_READ)
async def get_runs(source: str) -> ResponseReturnValue:
    """List the runs of a source's matching, newest first."""
    query = Query(request.args, "limit", "cursor")
    ids = item_ids()
    scope = {"source": source, "tenant": ids.tenant}
    page = HiddenPage(services().cursors, query, "runs", scope)
    async with services().load_read() as tx:
        row = await source_named(tx, source)
        rows = await queries.list_runs(tx, row.id, page.fetch_limit, page.walk)
    return page.as_json("runs", rows, lambda run: run_json(run, row.currency, ids))


@matching.get("/sources/<source>/breaks")
@requires(RECON_READ)
async def get_breaks(source: str) -> ResponseReturnValue:
    """List the open breaks of a source, oldest first or, with `sort=amount`, the largest.

    With `status=resolved`, the resolved ones: of lines, then of entries, newest item first.
    """
    names = ("status", "class", "age", "assignee", "asOf", "sort", "limit", "cursor")
    query = Query(request.args, *names)
    if query.choice("status", BREAK_STATUSES) == "resolved":
        return await resolved_breaks(source, query)
    as_of, age = as_of_in(query), query.choice("age", AGE_NAMES)
    break_class, assignee = query.choice("class", BREAK_CLASSES), query.text("assignee")
    sort, ids = query.choice("sort", BREAK_ORDERS) or BREAK_ORDERS[0], item_ids()
    scope = {
        "source": source,
        "tenant": ids.tenant,
        "sort": sort,
        "class": break_class,
        "age": age,
        "assignee": assignee,
    }
    page = HiddenPage(
        *(services().cursors, query, "breaks", scope),
        key=lambda each: break_key(each.row),
        default_order=ASCENDING,
    )
    which = BreakFilter(break_class, assignee, *days_of_age(age, as_of))
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        found = await list_breaks(
            tx, row.id, which, page.fetch_limit, sort, walk_of_items(page.walk)
        )
    return page.as_json("breaks", found, lambda each: break_json(each, as_of, row.currency, ids))


@matching.get("/sources/<source>/matches")
@requires(RECON_READ)
async def get_matches(source: str) -> ResponseReturnValue:
    """List the matches of a source, newest first: the active ones, or the undone ones."""
    return await listed_matches(source)


@matching.get("/sources/<source>/breaks/<break_id>")
@requires(RECON_READ)
async def get_break(source: str, break_id: str) -> ResponseReturnValue:
    """Retrieve a break, with its candidates and the reason why no rule matched it."""
    as_of, ids = as_of_in(Query(request.args, "asOf")), item_ids()
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        found = await break_with(tx, row.id, ids, break_id)
    return break_json(found, as_of, row.currency, ids)


@matching.get("/sources/<source>/lines")
@requires(RECON_READ)
async def get_open_lines(source: str) -> ResponseReturnValue:
    """List the lines of a source that are in no match and not set aside, oldest import first."""
    query = Query(request.args, "status", "limit", "cursor")
    status, ids = query.choice("status", OPEN_LINE_STATUSES), item_ids()
    scope = {"source": source, "tenant": ids.tenant, "status": status}
    page = HiddenPage(services().cursors, query, "open-lines", scope, default_order=ASCENDING)
    async with services().load_read() as tx:
        row = await source_named(tx, source)
        rows = await queries.list_open_lines(tx, row.id, status, page.fetch_limit, page.walk)
    return page.as_json("lines", rows, lambda line: of_source_json(line, ids))


@matching.get("/sources/<source>/lines/<line_id>")
@requires(RECON_READ)
async def get_line(source: str, line_id: str) -> ResponseReturnValue:
    """Retrieve a line with its match or, while it is open, its candidates."""
    Query(request.args)
    ids = item_ids()
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        line = await queries.find_line(tx, row.id, line_number(ids, line_id))
        if line is None:
            raise LineNotFound
        found = await describe_line(tx, line.id) if is_open_line(line) else None
    return line_detail_json(line, found, ids)


@matching.get("/sources/<source>/entries")
@requires(RECON_READ)
async def get_open_entries(source: str) -> ResponseReturnValue:
    """List the ledger entries of a source that no line has matched, the first due first."""
    query = Query(request.args, "reference", "amount", "limit", "cursor")
    reference, text, ids = query.text("reference"), query.text("amount"), item_ids()
    try:
        amount = None if text is None else parse_earlier_amount(text)
    except MoneyError as error:
        raise ValidationFailed.of("amount", str(error)) from None
    scope = {"source": source, "tenant": ids.tenant, "reference": reference, "amount": text}
    page = HiddenPage(
        *(services().cursors, query, "open-entries", scope),
        key=queries.key_of_entry,
        default_order=ASCENDING,
    )
    async with services().load_read() as tx:
        row = await source_named(tx, source)
        rows = await queries.list_open_entries(
            tx, row.id, page.fetch_limit, page.walk, reference, amount
        )
    return page.as_json("entries", rows, lambda entry: entry_json(entry, ids))


@matching.get("/sources/<source>/matches/<match_id>")
@requires(RECON_READ)
async def get_match(source: str, match_id: str) -> ResponseReturnValue:
    """Retrieve a match with the first 100 of its lines and entries."""
    Query(request.args)
    ids = item_ids()
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        found = await queries.find_match(tx, row.id, match_number(ids, match_id))
        if found is None:
            raise MatchNotFound
        legs = await queries.legs_of(tx, found.id)
    return match_json(found, legs, row.currency, ids)
