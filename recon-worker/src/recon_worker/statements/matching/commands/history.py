"""`recon-worker reconcile`: lists of matches and of resolved breaks."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from payments_core.domain.matching import BREAK_CLASSES, MATCH_STATUSES, BreakClass, MatchStatus
from payments_core.domain.payments import utc_text
from recon_worker.statements.command_frame import run
from recon_worker.statements.matching.commands.acts import BREAK_ID
from recon_worker.statements.matching.commands.arguments import AS_OF, ID, SOURCE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from payments_core.db.engine import AnyRow
    from payments_core.db.keyset import Found, KeyT, Walk
    from recon_worker.settings import WorkerSettings


async def _collect(
    read: "Callable[[int, Walk[KeyT]], Awaitable[Found[KeyT]]]", limit: int, place: "KeyT | None"
) -> "list[AnyRow]":
    """Return up to `limit` rows: a read that found fewer says where the next one starts."""
    from payments_core.db.keyset import Walk

    rows: list[AnyRow] = []
    while True:
        found = await read(limit - len(rows), Walk(place))
        rows += found.rows
        place = found.stopped_at
        if place is None:
            return rows


@click.command(
    cls=Command,
    example="recon-worker reconcile matches bank-eur --run 7\n"
    "recon-worker reconcile matches bank-eur --status undone",
    statuses="0 done; 1 the source is unknown; 2 the database failed.",
)
@SOURCE
@click.option(
    "--status",
    type=click.Choice(MATCH_STATUSES),
    default=MATCH_STATUSES[0],
    show_default=True,
    help="Only active matches, or only undone ones.",
)
@click.option("--run", "run_id", type=ID, help="Only matches of this run.")
@arguments.list_limit("Rows")
@click.option("--after", type=ID, help="Continue a list: matches after this one.")
@as_json("Print one JSON object per line.")
def matches(
    source: str,
    status: MatchStatus,
    run_id: int | None,
    limit: int,
    after: int | None,
    json_too: bool,
) -> int:
    """List the matches of SOURCE, newest first."""
    from payments_core.db.engine import single_statement
    from payments_core.matching.history import list_matches, match_json
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with single_statement(engine) as connection:
            row = await find_source(connection, source, None)
            rows = await _collect(
                lambda left, walk: list_matches(connection, row.id, left, status, run_id, walk),
                limit + 1,
                after,
            )
        headings = ("MATCH", "RUN", "RULE", "AMOUNT", "MADE", "WHY")
        names = ("id", "runId", "rule", "amount", "createdAt", "why")
        shown = [match_json(each, each.amount, row.currency) for each in rows[:limit]]
        table = [tuple(str(each[name] or "-") for name in names) for each in shown]
        _print(shown, headings, table, f"no {status} matches", json_too)
        if len(rows) > limit:
            output.more("--after", rows[limit - 1].id)
        return 0

    return run(work)


@click.command(
    cls=Command,
    example="recon-worker reconcile resolved bank-eur --class bank_only",
    statuses="0 done; 1 the source, or the break of --after, is unknown; 2 the database failed.",
)
@SOURCE
@click.option(
    "--class", "break_class", type=click.Choice(BREAK_CLASSES), help="Only breaks of this class."
)
@click.option("--assignee", help="Only breaks assigned to this person.")
@arguments.list_limit("Rows")
@click.option("--after", type=BREAK_ID, help="Continue a list: breaks after this one.")
@AS_OF
@as_json("Print one JSON object per line.")
def resolved(
    source: str,
    break_class: BreakClass | None,
    assignee: str | None,
    limit: int,
    after: str | None,
    as_of: date,
    json_too: bool,
) -> int:
    """List the resolved breaks of SOURCE: of lines, then of entries, newest item first."""
    from payments_core.db.engine import single_statement
    from payments_core.matching.breaks import Break, find_break
    from payments_core.matching.history import list_resolved_breaks
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with single_statement(engine) as connection:
            row = await find_source(connection, source, None)
            place = None
            if after is not None:
                last = (await find_break(connection, row.id, after, None, None)).row
                place = (last.side, last.item_id)
            rows = await _collect(
                lambda left, walk: list_resolved_breaks(
                    connection, row.id, left, break_class, assignee, walk
                ),
                limit + 1,
                place,
            )
        shown = [
            {
                **Break(each, None).as_json(as_of, row.currency),
                "resolvedAt": utc_text(each.resolved_at),
                "resolvedBy": each.resolved_by,
            }
            for each in rows[:limit]
        ]
        headings = ("BREAK", "ITEM", "AMOUNT", "RESOLVED", "BY")
        table = [
            (
                *(str(each["id"]), f"{each['side']} {each['itemId']}", str(each["amount"])),
                *(str(each["resolvedAt"]), str(each["resolvedBy"])),
            )
            for each in shown
        ]
        _print(shown, headings, table, "no resolved breaks", json_too)
        if len(rows) > limit:
            output.more("--after", rows[limit - 1].id)
        return 0

    return run(work)


def _print(
    shown: list[dict[str, Any]],
    headings: tuple[str, ...],
    table: Sequence[tuple[str, ...]],
    none: str,
    json_too: bool,
) -> None:
    if json_too:
        for each in shown:
            output.print_json(each)
    else:
        output.print_table(headings, table, (headings[-1],), none)


COMMANDS = (matches, resolved)
