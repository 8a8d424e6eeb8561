"""`recon-worker webhooks`: add endpoints, list them, change them."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from payments_core.domain.webhooks import ROTATION_HOURS_MAX, SUBSCRIBABLE_TYPES
from recon_worker.webhooks.commands.command_frame import STATUSES, run

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings


def _types(help_: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--type", "types", multiple=True, type=click.Choice(SUBSCRIBABLE_TYPES), help=help_
    )


@click.command(
    "add",
    cls=Command,
    example="recon-worker webhooks add https://hooks.example.com/in --type payment.completed",
    statuses=STATUSES,
)
@click.argument("url")
@_types("Send only events of this type; repeat for several. Default: all.")
@click.option("--description", default="", help="The purpose of the endpoint.")
@click.option("--tenant", help="Send only this tenant's events. Default: all tenants'.")
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

    return run(work, say, json_too=json_too)


@click.command(
    "list",
    cls=Command,
    example="recon-worker webhooks list",
    statuses="0 done; 2 the database failed.",
)
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

    return run(work, say, json_too=json_too)


def _state(endpoint: dict[str, Any]) -> str:
    return "enabled" if endpoint["enabled"] else f"disabled: {endpoint['disabledReason']}"


@click.command(
    "change",
    cls=Command,
    example="recon-worker webhooks change 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50 --enable\n"
    "recon-worker webhooks change 01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50"
    " --url https://hooks.example.com/new",
    statuses=STATUSES,
)
@click.argument("endpoint_id", metavar="ID", type=click.UUID)
@click.option("--url", help="Send to this URL from now on, also what is pending.")
@_types("Send only events of this type from now on; repeat for several.")
@click.option("--all-types", is_flag=True, help="Send events of all types from now on.")
@click.option("--description", help="The purpose of the endpoint.")
@click.option("--enable", is_flag=True, help="Send it events from now on.")
@click.option("--disable", is_flag=True, help="Send it nothing more.")
@click.option("--rotate", is_flag=True, help="Print a new secret, once.")
@click.option("--test", is_flag=True, help="Send it a webhook.test event.")
@click.option("--delete", is_flag=True, help="Delete it with its secrets, after a confirmation.")
@click.option(
    "--grace",
    type=arguments.Span(),
    default="24h",
    show_default=True,
    help=f"With --rotate: how long the old secret signs too, up to {ROTATION_HOURS_MAX:.0f}h.",
)
@arguments.actor()
@arguments.yes()
@as_json()
def change(
    endpoint_id: UUID,
    url: str | None,
    types: tuple[str, ...],
    all_types: bool,
    description: str | None,
    grace: timedelta,
    actor: str,
    yes: bool,
    json_too: bool,
    **actions: bool,
) -> int:
    """Change the URL, types or description of the endpoint with this ID, or apply one action.

    The actions are --enable, --disable, --rotate, --test and --delete.
    """
    if types and all_types:
        raise click.UsageError("Choose one of --type and --all-types.")
    named = {
        "url": url,
        "types": types if types or all_types else None,
        "description": description,
    }
    given = {name: value for name, value in named.items() if value is not None}
    chosen = [action for action, is_chosen in actions.items() if is_chosen]
    if len(chosen) + bool(given) != 1:
        raise click.UsageError(
            "Choose one of --enable, --disable, --rotate, --test and --delete, or what to change:"
            " --url, --type, --all-types, --description."
        )
    [action] = chosen or ["change"]

    async def find(tx: "AsyncConnection", _: "WorkerSettings") -> Any:
        from payments_core.webhooks.endpoints import find_endpoint

        return await find_endpoint(tx, endpoint_id, None)

    def ask(found: "AnyRow", database: str) -> None:
        output.confirm(f"Delete the endpoint {found.url} in {database}?")

    async def work(tx: "AsyncConnection", settings: "WorkerSettings") -> Any:
        if action in ("rotate", "test", "delete"):
            done = await _acted(tx, endpoint_id, action, grace, actor)
        else:
            done = await _changed(
                tx, endpoint_id, action, actor, given, loopback_allowed=settings.webhook_loopback
            )
        return {"id": str(endpoint_id), **done}

    def say(done: dict[str, Any], database: str) -> None:
        print(f"{done['done']} {done['id']} in {database}")
        if "secret" in done:
            print(f"its secret, shown this once: {done['secret']}")

    if action == "delete" and not yes and (status := run(find, ask)):
        return status
    return run(work, say, json_too=json_too)


async def _acted(
    tx: "AsyncConnection", endpoint_id: UUID, action: str, grace: timedelta, actor: str
) -> dict[str, str]:
    from payments_core.audit_log import Operator
    from payments_core.webhooks import endpoints, resending

    operator = Operator(actor)
    if action == "rotate":
        _, secret = await endpoints.rotate_secret(tx, endpoint_id, None, operator, grace)
        return {"done": "rotated", "secret": secret}
    if action == "test":
        delivery = await resending.send_test(tx, endpoint_id, None, operator)
        return {"done": "test queued for", "delivery": str(delivery.id)}
    await endpoints.delete_endpoint(tx, endpoint_id, None, operator)
    return {"done": "deleted"}


async def _changed(
    tx: "AsyncConnection",
    endpoint_id: UUID,
    action: str,
    actor: str,
    given: dict[str, Any],
    *,
    loopback_allowed: bool,
) -> dict[str, str]:
    from payments_core.audit_log import Operator
    from payments_core.webhooks.endpoints import change_endpoint

    await change_endpoint(
        tx,
        endpoint_id,
        None,
        Operator(actor),
        given,
        {"enable": True, "disable": False}.get(action),
        loopback_allowed=loopback_allowed,
    )
    return {"done": f"{action}d"}
