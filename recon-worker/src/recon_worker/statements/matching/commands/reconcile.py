"""`recon-worker reconcile`: run the matching, show a day's bridge, undo, take rules."""

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.matching import BRIDGE_LINES
from recon_worker.statements.command_frame import run
from recon_worker.statements.matching.commands import acts, adjustments, history
from recon_worker.statements.matching.commands.arguments import AS_OF, ID, SOURCE, STATUSES, Day

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from recon_worker.settings import WorkerSettings


@click.group(cls=Group)
def reconcile() -> None:
    """Match statement lines with ledger entries; show and resolve the breaks."""


@reconcile.command("run", example="recon-worker reconcile run bank-eur", statuses=STATUSES)
@SOURCE
@AS_OF
@as_json()
def run_(source: str, as_of: date, json_too: bool) -> int:
    """Match the open lines and entries of SOURCE by its rules. A tenant's source is TENANT~NAME.

    A run without new lines, entries or rules changes nothing.
    """
    from payments_core.db.engine import transaction
    from payments_core.statements.sources import find_source
    from recon_worker.statements.matching.run import run_matching

    matched = 0
    shows_progress = False

    def advance(step: str, matches: int) -> None:
        nonlocal matched, shows_progress
        matched += matches if step != "suggest" else 0
        if sys.stderr.isatty():
            shows_progress = True
            print(f"\r{step}: {output.counted(matched, 'match')}", end="", file=sys.stderr)

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
        outcome = await run_matching(engine, row, as_of, advance)
        if shows_progress:
            print(file=sys.stderr)
        shown = outcome.as_json()
        if json_too:
            output.print_json(shown, indent=2)
        else:
            _say_run(shown)
        return 0

    return run(work)


def _say_run(shown: dict[str, Any]) -> None:
    counts = shown["counts"]
    if not shown["changed"]:
        print(f"nothing new since run {shown['id']}")
    else:
        by_rule = ", ".join(f"{number:,} by {rule}" for rule, number in counts["matches"].items())
        print(f"run {shown['id']}: {by_rule or 'no new match'}")
    print(
        f"open: {counts['open_lines']:,} lines ({counts['suggested']:,} suggested),"
        f" {counts['open_entries']:,} entries; {counts['breaks']:,} breaks"
    )
    on = f" {shown['verdictOn']}" if shown["verdictOn"] else ""
    residual = "" if shown["residual"] is None else f", residual {shown['residual']}"
    print(f"verdict{on}: {shown['verdict']}{residual}")


@reconcile.command(
    example="recon-worker reconcile report bank-eur --on 2026-11-27",
    statuses="0 the day is reconciled, perhaps with pending items; 1 it has breaks or is"
    " incomplete, or the source is unknown; 2 the database failed.",
)
@SOURCE
@click.option("--on", type=Day(), help="The day; by default the last that a statement ends with.")
@AS_OF
@as_json()
def report(source: str, on: date | None, as_of: date, json_too: bool) -> int:
    """Print a day's bridge from our balance of SOURCE to the bank's, and the verdict."""
    from payments_core.db.engine import transaction
    from payments_core.matching.bridge import last_covered_day, read_bridge
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            day = on or await last_covered_day(tx, row.id, as_of) or as_of
            bridge = await read_bridge(tx, row.id, day, as_of)
        shown = bridge.as_json(row.currency)
        if json_too:
            output.print_json({"source": source, "currency": row.currency, **shown}, indent=2)
        else:
            _say_bridge(source, row.currency, shown)
        return 0 if bridge.verdict.startswith("reconciled") else 1

    return run(work)


def _say_bridge(source: str, currency: str, shown: dict[str, Any]) -> None:
    print(f"{source} on {shown['on']}, as of {shown['asOf']}, in {currency}")
    amounts = shown["bridge"]
    width = max(map(len, amounts.values()))
    for name, label, count in BRIDGE_LINES:
        number = f"  ({output.counted(shown['counts'][count], 'item')})" if count else ""
        print(f"  {label:<36}{amounts[name]:>{width}}{number}")
    because = shown["incompleteBecause"]
    print(f"verdict: {shown['verdict']}{f': {because}' if because else ''}")


@reconcile.command(
    example="recon-worker reconcile undo bank-eur --run 7 --reason 'wrong rules'\n"
    "recon-worker reconcile undo bank-eur --match 12 --reason 'another customer'",
    statuses=STATUSES,
)
@SOURCE
@click.option("--run", "run_id", type=ID, help="Undo every match of this run.")
@click.option("--match", "match_id", type=ID, help="Undo this match; no run makes it again.")
@arguments.reason()
@arguments.actor()
@arguments.yes()
@as_json()
def undo(
    source: str,
    run_id: int | None,
    match_id: int | None,
    reason: str,
    actor: str,
    yes: bool,
    json_too: bool,
) -> int:
    """Undo a run or a match of SOURCE: its lines and entries are open as before.

    With --run, print the number of matches and ask for confirmation.
    """
    from payments_core.audit_log import Operator
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction
    from payments_core.matching.matches import undo_match
    from payments_core.statements.sources import find_source
    from recon_worker.statements.matching.undo import count_active, undo_run

    if (run_id is None) == (match_id is None):
        raise click.UsageError("Name one --run or one --match.")

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        active = 1
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            if match_id is not None:
                await undo_match(tx, row.id, match_id, Operator(actor), reason)
            elif run_id is not None:
                active = await count_active(tx, row.id, run_id)
        if run_id is not None:
            if active and not yes:
                matches = output.counted(active, "match")
                output.confirm(f"Undo {matches} of run {run_id} in {name_of(settings)}?")
            active = await undo_run(engine, row.id, run_id, Operator(actor), reason)
        if json_too:
            output.print_json({"undone": active})
        else:
            print(f"undid {output.counted(active, 'match')} in {name_of(settings)}")
        return 0

    return run(work)


@reconcile.command(
    example="recon-worker reconcile rules bank-eur\n"
    "recon-worker reconcile rules bank-eur --take rules.json",
    statuses=STATUSES,
)
@SOURCE
@click.option(
    "--take",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file with the rules of the source's next runs.",
)
@as_json("Print JSON; this command always does.")
def rules(source: str, take: Path | None, json_too: bool) -> int:
    """Print the rules of SOURCE with their version and hash, or replace them."""
    from payments_core.db.engine import transaction
    from payments_core.statements.sources import find_source
    from recon_worker.statements.matching.rule_sets import describe, take_rules

    try:
        text = None if take is None else take.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{take}: {output.file_problem(error)}") from None

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            version = row.rule_set
            if text is not None:
                version = await take_rules(tx, row.id, text)
            output.print_json(await describe(tx, version), indent=2)
        return 0

    return run(work)


for act in (*acts.COMMANDS, *adjustments.COMMANDS, *history.COMMANDS):
    reconcile.add_command(act)
