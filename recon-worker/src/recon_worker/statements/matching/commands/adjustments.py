"""`recon-worker reconcile`: adjustments, proposed by one person and decided by another."""

from typing import TYPE_CHECKING
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from payments_core.domain.matching import (
    ADJUSTMENT_KINDS,
    ADJUSTMENT_REASON_MAX_CHARS,
    ADJUSTMENT_STATUSES,
    AdjustmentKind,
    AdjustmentStatus,
)
from recon_worker.statements.command_frame import as_dict, run
from recon_worker.statements.matching.commands.arguments import ID, SOURCE, STATUSES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from payments_core.matching.adjustments import Decision
    from recon_worker.settings import WorkerSettings


@click.command(
    cls=Command,
    example="recon-worker reconcile propose bank-eur --line 9 --kind fee --reason 'monthly fee'\n"
    "recon-worker reconcile propose bank-eur --line 7 --entry 12 --kind fee --reason 'charges'",
    statuses=STATUSES,
)
@SOURCE
@click.option("--line", type=ID, required=True, help="The line to explain.")
@click.option("--entry", "entries", type=ID, multiple=True, help="An entry that the line pays for.")
@click.option(
    "--kind", type=click.Choice(ADJUSTMENT_KINDS), required=True, help="The kind of adjustment."
)
@arguments.reason(ADJUSTMENT_REASON_MAX_CHARS)
@arguments.actor()
@as_json()
def propose(
    source: str,
    line: int,
    entries: tuple[int, ...],
    kind: AdjustmentKind,
    reason: str,
    actor: str,
    json_too: bool,
) -> int:
    """Propose to post the amount of a line of SOURCE, less that of its entries if it has any."""
    from payments_core.audit_log import Operator
    from payments_core.db.engine import transaction
    from payments_core.domain.money import currency_text
    from payments_core.matching import adjustments as of_source
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            made = await of_source.propose(tx, row.id, line, entries, kind, Operator(actor), reason)
            stored = await of_source.find_adjustment(tx, row.id, made)
        if json_too:
            output.print_json(as_dict(stored))
        else:
            amount = currency_text(stored.amount, row.currency)
            print(f"proposed adjustment {made}: {kind} of {amount}")
        return 0

    return run(work)


def _decide(decision: "Decision", summary: str) -> click.Command:
    """Return the command that approves or rejects an adjustment."""

    @click.command(
        decision,
        cls=Command,
        help=summary,
        example=f"recon-worker reconcile {decision} bank-eur ADJUSTMENT --reason 'as agreed'",
        statuses=STATUSES,
    )
    @SOURCE
    @click.argument("adjustment", type=click.UUID)
    @arguments.reason()
    @arguments.actor()
    @as_json()
    def command(source: str, adjustment: UUID, reason: str, actor: str, json_too: bool) -> int:
        from payments_core.audit_log import Operator
        from payments_core.db.engine import transaction
        from payments_core.matching.adjustments import decide, find_adjustment
        from payments_core.statements.sources import find_source
        from recon_worker.statements.matching.adjustments import post_approved

        async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
            async with transaction(engine) as tx:
                row = await find_source(tx, source, None)
                await decide(tx, row.id, adjustment, decision, Operator(actor), reason)
            if decision == "approve":
                await post_approved(engine)
            async with transaction(engine) as tx:
                stored = await find_adjustment(tx, row.id, adjustment)
            if json_too:
                output.print_json(as_dict(stored))
            else:
                failure = f": {stored.failure}" if stored.failure else ""
                print(f"adjustment {adjustment} is {stored.status}{failure}")
            return int(stored.status == "failed")

        return run(work)

    return command


approve = _decide("approve", "Approve an ADJUSTMENT of SOURCE that another person proposed.")
reject = _decide("reject", "Reject an ADJUSTMENT of SOURCE.")


@click.command(
    cls=Command,
    example="recon-worker reconcile adjustments bank-eur --status proposed",
    statuses="0 done; 1 the source is unknown; 2 the database failed.",
)
@SOURCE
@click.option(
    "--status", type=click.Choice(ADJUSTMENT_STATUSES), help="Only adjustments in this status."
)
@arguments.list_limit("Adjustments")
@click.option("--after", type=click.UUID, help="Continue a list: adjustments after this one.")
@as_json("Print one JSON object per line.")
def adjustments(
    source: str, status: AdjustmentStatus | None, limit: int, after: UUID | None, json_too: bool
) -> int:
    """List the adjustments of SOURCE, newest first."""
    from payments_core.db.engine import transaction
    from payments_core.db.keyset import Walk
    from payments_core.domain.money import currency_text
    from payments_core.matching.adjustments import list_adjustments
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
            found = await list_adjustments(tx, row.id, limit + 1, Walk(after), status)
        shown = found[:limit]
        if json_too:
            for each in shown:
                output.print_json(as_dict(each))
        else:
            rows = [
                (
                    *(str(each.id), each.status, each.kind),
                    f"{currency_text(each.amount, row.currency)} {row.currency}",
                    *(f"line {each.line_id}", each.proposed_by, each.decided_by or "-"),
                    each.reason,
                )
                for each in shown
            ]
            titles = ("ADJUSTMENT", "STATUS", "KIND", "AMOUNT", "LINE", "PROPOSED BY")
            headings = (*titles, "DECIDED BY", "REASON")
            output.print_table(headings, rows, ("REASON",), "no adjustments")
        if len(found) > limit:
            output.more("--after", shown[-1].id)
        return 0

    return run(work)


COMMANDS = (propose, approve, reject, adjustments)
