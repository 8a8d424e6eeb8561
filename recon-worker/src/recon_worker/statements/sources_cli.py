"""`recon-worker sources`: the accounts whose statements are imported."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.statements import GRACE_DAYS_MAX, SOURCE_FORMATS
from recon_worker.statements.command_frame import as_dict, run

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from recon_worker.settings import WorkerSettings

STATUSES = "0 done; 1 the source is unknown, exists already or is invalid; 2 the database failed."


@click.group(cls=Group)
def sources() -> None:
    """Add and show the accounts whose statements are imported."""


@sources.command(
    "add",
    example="recon-worker sources add bank-eur --account DE89370400440532013000 --currency EUR",
    statuses=STATUSES,
)
@click.argument("name")
@click.option(
    "--account", required=True, help="The account's IBAN, or its identifier at the provider."
)
@click.option("--currency", required=True, help="The account's currency, such as EUR.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(SOURCE_FORMATS),
    default="auto",
    show_default=True,
    help="The format of its files; auto tells camt, MT940, Stripe and Adyen apart.",
)
@click.option(
    "--profile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file that describes its CSV files.",
)
@click.option(
    "--channel",
    default="default",
    show_default=True,
    help="The `source` of the payments that this account receives.",
)
@click.option("--time-zone", default="UTC", show_default=True, help="The bank's time zone.")
@click.option(
    "--grace-days",
    type=click.IntRange(0, GRACE_DAYS_MAX),
    default=2,
    show_default=True,
    help="Days that the bank may take to book a payment.",
)
@click.option("--tenant", help="The tenant to whom the account belongs.")
@arguments.actor()
@as_json()
def add(*, format_: str, profile: Path | None, actor: str, json_too: bool, **fields: Any) -> int:
    """Add a source with this NAME."""
    from payments_core.audit_log import Operator
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction
    from payments_core.statements.csv_profile import ProfileError, check_profile
    from payments_core.statements.sources import NewSource, add_source

    try:
        declared = json.loads(profile.read_text()) if profile else None
    except (ValueError, OSError, RecursionError) as error:
        problem = output.file_problem(error)
        raise click.UsageError(f"the profile {profile} is no JSON file: {problem}") from None
    try:
        check_profile(format_, declared)
    except ProfileError as error:
        raise click.UsageError(f"the profile cannot be used: {error}") from None

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        source = NewSource(
            name=fields["name"],
            account_identifier=fields["account"],
            currency=fields["currency"],
            format=format_,
            profile=declared,
            channel=fields["channel"],
            time_zone=fields["time_zone"],
            grace_days=fields["grace_days"],
            tenant=fields["tenant"],
        )
        async with transaction(engine) as tx:
            row = await add_source(tx, source, Operator(actor))
        if json_too:
            output.print_json(as_dict(row))
        else:
            print(f"added source {source.stored_name} in {name_of(settings)}")
        return 0

    return run(work)


@sources.command(
    "list",
    example="recon-worker sources list",
    statuses="0 done; 1 the source of --after is unknown; 2 the database failed.",
)
@arguments.list_limit("Sources")
@click.option(
    "--after",
    metavar="NAME",
    type=arguments.Text(1, 200),
    help="Continue a list: sources after this one.",
)
@as_json("Print one JSON object per line.")
def list_(limit: int, after: str | None, json_too: bool) -> int:
    """List the sources, newest first."""
    from payments_core.db.engine import transaction
    from payments_core.db.keyset import Walk
    from payments_core.statements.sources import find_source, list_sources, stored_source_name

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            start = None if after is None else (await find_source(tx, after, None)).id
            found = await list_sources(tx, None, limit + 1, Walk(start))
        shown = found[:limit]
        if json_too:
            for row in shown:
                output.print_json(as_dict(row))
        else:
            rows = [
                (
                    stored_source_name(row.name, row.tenant),
                    row.account_identifier,
                    row.currency,
                    row.format,
                    row.channel,
                )
                for row in shown
            ]
            headings = ("NAME", "ACCOUNT", "CURRENCY", "FORMAT", "CHANNEL")
            output.print_table(headings, rows, ("ACCOUNT",), "no sources")
        if len(found) > limit:
            output.more("--after", stored_source_name(shown[-1].name, shown[-1].tenant))
        return 0

    return run(work)


@sources.command(
    "show",
    example="recon-worker sources show bank-eur",
    statuses="0 done; 1 the source is unknown; 2 the database failed.",
)
@click.argument("name")
@as_json("Print JSON; this command always does.")
def show(name: str, json_too: bool) -> int:
    """Print the source with this NAME as JSON; a tenant's is TENANT~NAME."""
    from payments_core.db.engine import transaction
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            output.print_json(as_dict(await find_source(tx, name, None)), indent=2)
        return 0

    return run(work)
