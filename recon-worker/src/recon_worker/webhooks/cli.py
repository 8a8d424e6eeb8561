"""`recon-worker webhooks`: endpoints, their secrets and their deliveries."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.webhooks import (
    DELIVERY_STATUSES,
    RESENT_MAX,
    ROTATION_HOURS_MAX,
    SUBSCRIBABLE_TYPES,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings

STATUSES = (
    "0 done; 1 the endpoint or delivery is unknown, disabled or invalid; 2 the database failed."
)
Work = Callable[["AsyncConnection", "WorkerSettings"], Awaitable[Any]]


@click.group(cls=Group)
def webhooks() -> None:
    """Send events to endpoints: their URLs, secrets and deliveries."""


@webhooks.command(
    "add",
    example="recon-worker webhooks add https://hooks.example.com/in --type payment.completed",
    statuses=STATUSES,
)
@click.argument("url")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(SUBSCRIBABLE_TYPES),
    help="An event's type, any number of times; without it, all types.",
)
@click.option("--description", default="", help="The purpose of the endpoint.")
@click.option("--tenant", help="The tenant whose events it receives; without it, everyone's.")
@arguments.actor()
@as_json()
def add(
    url: str,
    types: tuple[str, ...],
    description: str,
    tenant: str | None,
    actor: str,
    json_too: bool,
) -> int:
    """Add an endpoint with this URL, and print its secret once."""
    from payments_core.audit_log import Operator
    from payments_core.webhooks.endpoints import EndpointFields, create_endpoint
    from payments_core.webhooks.shapes import endpoint_json

    async def work(tx: "AsyncConnection", settings: "WorkerSettings") -> Any:
        fields = EndpointFields(url, types, description, settings.webhook_loopback)
        row, secret = await create_endpoint(tx, fields, tenant, Operator(actor))
        return {**endpoint_json(row), "secret": secret}

    def say(made: dict[str, Any], database: str) -> None:
        print(f"added webhook {made['id']} in {database}")
        print(f"its secret, shown this once: {made['secret']}")

    return _run(work, _print_json if json_too else say)


@webhooks.command("list", example="recon-worker webhooks list", statuses=STATUSES)
@as_json("Print one JSON object per line.")
def list_(json_too: bool) -> int:
    """List the endpoints, newest first."""
    from payments_core.webhooks.endpoints import list_endpoints
    from payments_core.webhooks.shapes import endpoint_json

    async def work(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        return [endpoint_json(row) for row in await list_endpoints(tx, None)]

    def say(found: list[dict[str, Any]], database: str) -> None:
        rows = [
            (
                one["id"],
                one["tenant"] or "-",
                "failing" if one["failingSince"] and one["enabled"] else _state(one),
                ",".join(one["types"]) or "all",
                one["url"],
            )
            for one in found
        ]
        headings = ("ID", "TENANT", "STATE", "TYPES", "URL")
        output.print_table(headings, rows, ("URL", "TYPES"), "no webhooks")

    return _run(work, _print_lines if json_too else say)


def _state(endpoint: dict[str, Any]) -> str:
    return "enabled" if endpoint["enabled"] else f"disabled: {endpoint['disabledReason']}"


@webhooks.command(
    "deliveries",
    example="recon-worker webhooks deliveries 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50",
    statuses=STATUSES,
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
            _print_lines(listed, database)
        else:
            _print_deliveries(listed, [row.created_at for row in found])
        if len(found) > limit:
            output.more("--before", listed[-1]["id"])

    return _run(work, say)


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


@webhooks.command(
    "resend",
    example="recon-worker webhooks resend 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e51\n"
    "recon-worker webhooks resend --failed-of 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50 --since 12h",
    statuses=STATUSES,
)
@click.argument("delivery_id", metavar="[DELIVERY]", type=click.UUID, required=False)
@click.option(
    "--failed-of", type=click.UUID, metavar="ID", help="Resend all failed ones of this endpoint."
)
@click.option(
    "--since",
    type=arguments.Span(),
    help="With --failed-of: those created within this time, such as 12h.",
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
    """Send the DELIVERY again, or all that failed, with the same id and body.

    With --failed-of it states their number and asks for confirmation.
    """
    from payments_core.audit_log import Operator
    from payments_core.webhooks import deliveries as stored

    if (delivery_id is None) == (failed_of is None) or (failed_of is None) != (since is None):
        raise click.UsageError("Name one delivery, or --failed-of an endpoint with --since.")

    begin = datetime.now(UTC) - (since or timedelta())

    async def count(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        assert failed_of is not None
        return await stored.count_failed(tx, failed_of, None, begin)

    def ask(failed: int, database: str) -> None:
        if failed:
            deliveries = output.counted(failed, "failed delivery")
            output.confirm(f"Resend {deliveries} to {failed_of} in {database}?")

    async def work(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        if delivery_id is not None:
            await stored.resend(tx, delivery_id, None, Operator(actor))
            return {"resent": 1}
        assert failed_of is not None
        resent = await stored.resend_failed(tx, failed_of, None, begin, Operator(actor))
        return {"resent": resent}

    def say(done: dict[str, Any], database: str) -> None:
        print(f"resending {output.counted(done['resent'], 'delivery')} in {database}")
        if done["resent"] == RESENT_MAX:
            print("There may be more: run it again.", file=sys.stderr)

    if failed_of is not None and not yes and (status := _run(count, ask)):
        return status
    return _run(work, _print_json if json_too else say)


@webhooks.command(
    "change",
    example="recon-worker webhooks change 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50 --enable",
    statuses=STATUSES,
)
@click.argument("endpoint_id", metavar="ID", type=click.UUID)
@click.option("--enable", is_flag=True, help="Send it events from now on.")
@click.option("--disable", is_flag=True, help="Send it nothing more.")
@click.option("--rotate", is_flag=True, help="Print a new secret, once.")
@click.option("--test", is_flag=True, help="Send it an event webhook.test.")
@click.option("--delete", is_flag=True, help="Delete it with its secrets, after a confirmation.")
@click.option(
    "--grace",
    type=arguments.Span(),
    default="24h",
    show_default=True,
    help=f"With --rotate: how long the former secret signs too, up to {ROTATION_HOURS_MAX:.0f}h.",
)
@arguments.actor()
@arguments.yes()
@as_json()
def change(
    endpoint_id: UUID, grace: timedelta, actor: str, yes: bool, json_too: bool, **actions: bool
) -> int:
    """Enable, disable, test or delete the endpoint with this ID, or rotate its secret."""
    chosen = [action for action, given in actions.items() if given]
    if len(chosen) != 1:
        raise click.UsageError("Choose one of --enable, --disable, --rotate, --test and --delete.")
    [action] = chosen

    async def find(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        from payments_core.webhooks.endpoints import find_endpoint

        return await find_endpoint(tx, endpoint_id, None)

    def ask(found: "AnyRow", database: str) -> None:
        output.confirm(f"Delete the endpoint {found.url} in {database}?")

    async def work(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        return {"id": str(endpoint_id), **await _changed(tx, endpoint_id, action, grace, actor)}

    def say(done: dict[str, Any], database: str) -> None:
        print(f"{done['done']} {done['id']} in {database}")
        if "secret" in done:
            print(f"its secret, shown this once: {done['secret']}")

    if action == "delete" and not yes and (status := _run(find, ask)):
        return status
    return _run(work, _print_json if json_too else say)


async def _changed(
    tx: "AsyncConnection", endpoint_id: UUID, action: str, grace: timedelta, actor: str
) -> dict[str, str]:
    from payments_core.audit_log import Operator
    from payments_core.webhooks import deliveries as stored
    from payments_core.webhooks import endpoints

    operator = Operator(actor)
    if action == "rotate":
        _, secret = await endpoints.rotate_secret(tx, endpoint_id, None, operator, grace)
        return {"done": "rotated", "secret": secret}
    if action == "test":
        sent = await stored.send_test(tx, endpoint_id, None, operator)
        return {"done": "test queued for", "delivery": str(sent.id)}
    if action == "delete":
        await endpoints.delete_endpoint(tx, endpoint_id, None, operator)
        return {"done": "deleted"}
    enabled = action == "enable"
    await endpoints.change_endpoint(tx, endpoint_id, None, operator, enabled=enabled)
    return {"done": f"{action}d"}


def _run(work: Work, say: Callable[[Any, str], None]) -> int:
    """Run the work in a transaction; say its result after the commit."""
    from payments_core.cli.database import name_of, refusal, run_on_database
    from payments_core.config import read_settings
    from payments_core.db.engine import transaction
    from payments_core.webhooks.deliveries import DeliveryNotFound, TooManyTests
    from payments_core.webhooks.endpoints import (
        EndpointDisabled,
        EndpointNotFound,
        EndpointRefused,
        TooManyEndpoints,
    )
    from recon_worker.settings import WorkerSettings

    settings = read_settings(WorkerSettings)
    refusals = (
        *(EndpointNotFound, EndpointRefused, EndpointDisabled, TooManyEndpoints),
        *(DeliveryNotFound, TooManyTests),
    )

    async def on_engine(engine: "AsyncEngine") -> int:
        try:
            async with transaction(engine) as tx:
                result = await work(tx, settings)
        except refusals as error:
            print(refusal(error, settings), file=sys.stderr)
            return 1
        say(result, name_of(settings))
        return 0

    return run_on_database(settings, on_engine, "recon-worker-cli")


def _print_json(value: Any, _: str) -> None:
    print(json.dumps(value))


def _print_lines(values: list[dict[str, Any]], database: str) -> None:
    for value in values:
        _print_json(value, database)
