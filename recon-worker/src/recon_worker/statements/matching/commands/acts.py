"""`recon-worker reconcile`: breaks, and operators' decisions on them."""

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from payments_core.domain.matching import (
    AGE_NAMES,
    BREAK_CLASSES,
    NOTE_MAX_CHARS,
    Act,
    BreakClass,
    days_of_age,
)
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from recon_worker.statements.command_frame import run
from recon_worker.statements.matching.commands.arguments import AS_OF, ID, SOURCE, STATUSES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from recon_worker.settings import WorkerSettings

BREAK_ID = arguments.Text(64, 64)


@click.command(
    cls=Command,
    example="recon-worker reconcile match bank-eur --line 7 --entry 12 --entry 14 --reason 'one"
    " transfer for two invoices'",
    statuses=STATUSES,
)
@SOURCE
@click.option("--line", "lines", type=ID, multiple=True, required=True, help="A line's id.")
@click.option("--entry", "entries", type=ID, multiple=True, required=True, help="An entry's id.")
@arguments.reason()
@arguments.actor()
@as_json()
def match(
    source: str,
    lines: tuple[int, ...],
    entries: tuple[int, ...],
    reason: str,
    actor: str,
    json_too: bool,
) -> int:
    """Match one line of SOURCE with entries, or lines with one entry, of equal sums."""
    from payments_core.audit_log import Operator
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction
    from payments_core.matching.matches import match_by_hand
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            made = await match_by_hand(tx, row.id, lines, entries, Operator(actor), reason)
        if json_too:
            output.print_json({"match": made})
        else:
            both = (
                f"{output.counted(len(lines), 'line')} with {output.counted(len(entries), 'entry')}"
            )
            print(f"match {made}: {both}, in {name_of(settings)}")
        return 0

    return run(work)


def _set_aside(act: Act, done: str, why: str, summary: str) -> click.Command:
    """Return the command that explains, ignores or reopens a line."""

    @click.command(
        act,
        cls=Command,
        help=summary,
        example=f"recon-worker reconcile {act} bank-eur 7 --reason '{why}'",
        statuses=STATUSES,
    )
    @SOURCE
    @click.argument("line", type=ID)
    @arguments.reason()
    @arguments.actor()
    @as_json()
    def command(source: str, line: int, reason: str, actor: str, json_too: bool) -> int:
        from payments_core.audit_log import Operator
        from payments_core.cli.database import name_of
        from payments_core.db.engine import transaction
        from payments_core.matching.lines import set_aside
        from payments_core.statements.sources import find_source

        async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
            async with transaction(engine) as tx:
                row = await find_source(tx, source, None)
                await set_aside(tx, row.id, line, act, Operator(actor), reason)
            if json_too:
                output.print_json({"line": line, "act": act})
            else:
                print(f"line {line} is {done} in {name_of(settings)}")
            return 0

        return run(work)

    return command


explain = _set_aside(
    "explain",
    "explained",
    "a fee of the bank",
    "Set a LINE of SOURCE aside as explained, such as a fee.",
)
ignore = _set_aside(
    "ignore", "ignored", "of another account", "Set a LINE of SOURCE aside as not ours."
)
reopen = _set_aside(
    "reopen", "open again", "not a fee after all", "Open a LINE of SOURCE that was set aside."
)


@click.command(
    cls=Command,
    example="recon-worker reconcile breaks bank-eur --class missing_in_bank --age '>30'",
    statuses="0 done; 1 the source, or the break of --after, is unknown; 2 the database failed.",
)
@SOURCE
@click.option(
    "--class", "break_class", type=click.Choice(BREAK_CLASSES), help="Only breaks of this class."
)
@click.option("--age", type=click.Choice(AGE_NAMES), help="Only breaks of this age, in days.")
@click.option("--assignee", help="Only breaks assigned to this person.")
@arguments.list_limit("Breaks")
@click.option("--after", type=BREAK_ID, help="Continue a list: breaks after this one.")
@AS_OF
@as_json("Print one JSON object per line.")
def breaks(
    source: str,
    break_class: BreakClass | None,
    age: str | None,
    assignee: str | None,
    limit: int,
    after: str | None,
    as_of: date,
    json_too: bool,
) -> int:
    """List the open breaks of SOURCE, oldest first, each with why no rule matched it."""
    from payments_core.db.engine import transaction
    from payments_core.db.keyset import Walk
    from payments_core.matching.breaks import BreakFilter, find_break, list_breaks
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        which = BreakFilter(break_class, assignee, *days_of_age(age, as_of))
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            start = None
            if after is not None:
                last = (await find_break(tx, row.id, after, None, None)).row
                start = (last.side, last.item_id)
            walk = Walk(start, list_descends=False)
            found = await list_breaks(tx, row.id, which, limit + 1, walk=walk)
        shown = [each.as_json(as_of, row.currency) for each in found[:limit] if each.open]
        if json_too:
            for each in shown:
                output.print_json(each)
        else:
            _print_breaks(shown)
        if len(found) > limit:
            output.more("--after", found[limit - 1].row.id)
        return 0

    return run(work)


def _print_breaks(shown: list[dict[str, Any]]) -> None:
    rows = [
        (
            each["id"],
            f"{each['side']} {each['itemId']}",
            f"{each['amount']} {each['currency']}",
            f"{each['ageDays']}",
            each["reference"] or "-",
            each["assignee"] or "-",
            each["whyNot"],
        )
        for each in shown
    ]
    headings = ("BREAK", "ITEM", "AMOUNT", "DAYS", "REFERENCE", "ASSIGNEE", "WHY NOT")
    output.print_table(headings, rows, ("WHY NOT", "REFERENCE"), "no breaks")


@click.command(
    cls=Command,
    example="recon-worker reconcile annotate bank-eur BREAK --assign ann --note 'asked the bank'",
    statuses=STATUSES,
)
@SOURCE
@click.argument("break_id", metavar="BREAK", type=BREAK_ID)
@click.option(
    "--assign", type=arguments.Text(1, OPERATOR_MAX_CHARS), help="The person who investigates it."
)
@click.option("--note", type=arguments.Text(1, NOTE_MAX_CHARS), help="A note on the break.")
@arguments.actor()
@as_json()
def annotate(
    source: str, break_id: str, assign: str | None, note: str | None, actor: str, json_too: bool
) -> int:
    """Assign a BREAK of SOURCE to a person, or write its note."""
    from payments_core.audit_log import Operator
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction
    from payments_core.matching import breaks as of_source
    from payments_core.statements.sources import find_source

    if assign is None and note is None:
        raise click.UsageError("Add --assign or --note.")

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            await of_source.annotate(tx, row.id, break_id, Operator(actor), assign, note)
        if json_too:
            output.print_json({"break": break_id})
        else:
            print(f"noted on break {break_id[:12]} in {name_of(settings)}")
        return 0

    return run(work)


COMMANDS = (match, breaks, annotate, explain, ignore, reopen)
