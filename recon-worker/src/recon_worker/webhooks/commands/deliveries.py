"""`recon-worker webhooks`: list the deliveries to an endpoint, and send them again."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from payments_core.domain.webhooks import DELIVERY_STATUSES, RESENT_MAX
from recon_worker.webhooks.commands.command_frame import STATUSES, print_json, run

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings


@click.command(
    "deliveries",
    cls=Command,
    example="recon-worker webhooks deliveries 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50",
    statuses="0 done; 1 the endpoint is unknown; 2 the database failed.",
)
@click.argument("endpoint_id", metavar="ID", type=click.UUID)
@click.option(
    "--status", type=click.Choice(DELIVERY_STATUSES), help="Only deliveries in this status."
)
@arguments.list_limit("Deliveries")
@click.option("--before", type=click.UUID, help="Continue a list: deliveries older than this one.")
@as_json("Print one JSON object per line, with the first bytes of the answer.")
def deliveries(
    endpoint_id: UUID, status: Any, limit: int, before: UUID | None, json_too: bool
) -> int:
    """List the deliveries to the endpoint with this ID, newest first."""
    from payments_core.db.keyset import Walk
    from payments_core.webhooks.deliveries import list_deliveries
    from payments_core.webhooks.shapes import delivery_json

    async def work(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        return await list_deliveries(tx, endpoint_id, None, limit + 1, Walk(before), status)

    def say(found: "Sequence[AnyRow]", database: str) -> None:
        listed = [delivery_json(row) for row in found[:limit]]
        if json_too:
            print_json(listed)
        else:
            _print_deliveries(listed, [row.created_at for row in found])
        if len(found) > limit:
            output.more("--before", listed[-1]["id"])

    return run(work, say)


def _print_deliveries(listed: list[dict[str, Any]], created: list[datetime]) -> None:
    rows = [
        (
            one["id"],
            one["type"],
            one["status"],
            str(one["attempts"]),
            output.shown_time(at),
            one["error"] or str(one["statusCode"] or "-"),
        )
        for one, at in zip(listed, created, strict=False)
    ]
    headings = ("ID", "TYPE", "STATUS", "ATTEMPTS", "CREATED", "LAST")
    output.print_table(headings, rows, ("LAST",), "no deliveries")


@click.command(
    "resend",
    cls=Command,
    example="recon-worker webhooks resend 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e51\n"
    "recon-worker webhooks resend --failed-of 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50 --since 12h",
    statuses=STATUSES,
)
@click.argument("delivery_id", metavar="[DELIVERY]", type=click.UUID, required=False)
@click.option(
    "--failed-of",
    type=click.UUID,
    metavar="ID",
    help="Resend all failed deliveries to this endpoint.",
)
@click.option(
    "--since",
    type=arguments.Span(),
    help="With --failed-of: only those created within this time, such as 12h.",
)
@arguments.actor()
@arguments.yes()
@as_json()
def resend(
    delivery_id: UUID | None,
    failed_of: UUID | None,
    since: timedelta | None,
    actor: str,
    yes: bool,
    json_too: bool,
) -> int:
    """Send DELIVERY, or all that failed, again with the same id and body.

    With --failed-of, print their number and ask for confirmation.
    """
    from payments_core.audit_log import Operator
    from payments_core.webhooks import resending

    if (delivery_id is None) == (failed_of is None) or (failed_of is None) != (since is None):
        raise click.UsageError("Name one delivery, or --failed-of an endpoint with --since.")

    begin = datetime.now(UTC) - (since or timedelta())

    async def count(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        assert failed_of is not None
        return await resending.count_failed(tx, failed_of, None, begin)

    def ask(failed: int, database: str) -> None:
        if failed:
            deliveries = output.counted(failed, "failed delivery")
            output.confirm(f"Resend {deliveries} to {failed_of} in {database}?")

    async def work(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        if delivery_id is not None:
            await resending.resend(tx, delivery_id, None, Operator(actor))
            return {"resent": 1}
        assert failed_of is not None
        resent = await resending.resend_failed(tx, failed_of, None, begin, Operator(actor))
        return {"resent": resent}

    def say(done: dict[str, Any], database: str) -> None:
        print(f"resending {output.counted(done['resent'], 'delivery')} in {database}")
        if done["resent"] == RESENT_MAX:
            print("There may be more: run it again.", file=sys.stderr)

    if failed_of is not None and not yes and (status := run(count, ask)):
        return status
    return run(work, say, json_too=json_too)
