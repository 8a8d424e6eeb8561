"""`payments-api keys`: keys go to standard output, notes to standard error."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payments_api.auth.caller import SCOPES
from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.statuses import OperatorAction

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from payments_core.db.engine import AnyRow

Result = TypeVar("Result")

GRACE_DEFAULT = "24h"
KEY_BYTES_MAX = 200
LIST_LIMIT_MAX = 10_000
STATUSES = "0 done; 1 the key, the name or a scope is invalid or unknown; 2 the database failed."
_HEADINGS = ("id", "name", "scopes", "tenant", "created", "last used", "expires", "revoked")


@click.group(cls=Group)
def keys() -> None:
    """Create, list, rotate and revoke API keys."""


@keys.command(
    example="payments-api keys create --name shop --scopes payments:write,payments:read"
    " --expires-in 90d",
    statuses=STATUSES,
)
@click.option("--name", required=True, help="The client or service that uses the key.")
@click.option(
    "--scopes", required=True, help=f"Comma-separated scopes, or all: {', '.join(SCOPES)}."
)
@click.option("--tenant", help="Restrict the key to this tenant's payments and accounts.")
@click.option(
    "--expires-in", type=arguments.Span(), help="Lifetime such as 12h or 90d. Default: no expiry."
)
@click.option(
    "--from-env", metavar="VARIABLE", help="Register the key that this environment variable holds."
)
@click.option(
    "--from-file",
    metavar="FILE",
    help="Register the key that this file holds; - reads standard input.",
)
@arguments.actor()
@as_json()
def create(
    name: str,
    scopes: str,
    tenant: str | None,
    expires_in: timedelta | None,
    from_env: str | None,
    from_file: str | None,
    actor: str,
    json_too: bool,
) -> int:
    """Create a key and print it, once."""
    from payments_api.auth.keys import KeyGrant, add_key, ensure_key, id_of, new_key

    if from_env and from_file:
        raise click.UsageError("--from-env and --from-file exclude each other.")

    async def work(tx: "AsyncConnection") -> tuple[str, bool | None]:
        names = SCOPES if scopes == "all" else scopes.split(",")
        ends = None if expires_in is None else datetime.now(UTC) + expires_in
        grant = KeyGrant(name, frozenset(scope.strip() for scope in names), tenant, ends)
        given = _given_key(from_env, from_file)
        key = given or new_key()
        new = None
        if given is None:
            await add_key(tx, key, grant)
        else:
            new = await ensure_key(tx, given, grant)
        # Recorded for an existing key too: its name and scopes may have changed.
        await _record(tx, "create_key", actor, f"{id_of(key)}, {grant.name}")
        return key, new

    def say(made: tuple[str, bool | None], database: str) -> None:
        key, new = made
        if new is not None:
            text = f"key {id_of(key)} is {'registered' if new else 'registered already'}"
            print(json.dumps({"id": id_of(key)}) if json_too else f"{text} in {database}")
            return
        print(f"The key in {database}, shown only once:", file=sys.stderr)
        print(json.dumps({"id": id_of(key), "key": key}) if json_too else key)

    return _run(work, say)


@keys.command(
    example="PAYMENTS_UI_API_KEY=$(payments-api keys generate)", statuses="0 the key is printed."
)
@as_json()
def generate(json_too: bool) -> int:
    """Print a new key without storing it, for a secret store."""
    from payments_api.auth.keys import new_key

    key = new_key()
    print(json.dumps({"key": key}) if json_too else key)
    return 0


@keys.command("list", example="payments-api keys list --all", statuses=STATUSES)
@click.option("--all", "ended_too", is_flag=True, help="Include revoked and expired keys.")
@click.option(
    "--limit",
    type=arguments.WholeNumber(LIST_LIMIT_MAX),
    default=100,
    show_default=True,
    help="Keys to list, oldest first.",
)
@click.option("--after", metavar="ID", help="Continue a list: keys newer than this one.")
@as_json("Print one JSON object per line.")
def list_(ended_too: bool, limit: int, after: str | None, json_too: bool) -> int:
    """List the keys, without their secrets."""
    from payments_api.auth.keys import list_keys

    def say(rows: "Sequence[AnyRow]", database: str) -> None:
        shown = rows[:limit]
        if json_too:
            for row in shown:
                print(json.dumps(row._asdict(), default=_json_time))
        else:
            cells, none = (
                [_cells(row) for row in shown],
                "no keys" if ended_too else "no active keys",
            )
            output.print_table(_HEADINGS, cells, ("name", "scopes", "tenant"), none)
        if len(rows) > limit:
            output.more("--after", shown[-1].id)

    return _run(lambda tx: list_keys(tx, ended_too=ended_too, limit=limit + 1, after=after), say)


@keys.command(example="payments-api keys rotate 0a1b2c3d4e5f --grace 24h", statuses=STATUSES)
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace",
    type=arguments.Span(),
    default=GRACE_DEFAULT,
    show_default=True,
    help="How long the old key stays valid.",
)
@arguments.actor()
@as_json()
def rotate(key_id: str, grace: timedelta, actor: str, json_too: bool) -> int:
    """Create a successor of the key with this ID. That key ends after the grace period."""
    from payments_api.auth.keys import checked_key_id, id_of, rotate_key

    async def work(tx: "AsyncConnection") -> tuple[str, str, datetime]:
        old = checked_key_id(key_id)
        key, ends = await rotate_key(tx, old, grace)
        await _record(tx, "rotate_key", actor, f"{old}, to {id_of(key)}")
        return old, key, ends

    def say(rotated: tuple[str, str, datetime], database: str) -> None:
        old, key, ends = rotated
        until = output.shown_time(ends)
        note = f"Key {old} in {database} is valid until {until}. Its successor, shown only once:"
        print(note, file=sys.stderr)
        found = {"id": id_of(key), "key": key, "replaces": old}
        print(json.dumps(found) if json_too else key)

    return _run(work, say)


@keys.command(example="payments-api keys revoke 0a1b2c3d4e5f", statuses=STATUSES)
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
@arguments.actor()
@arguments.yes()
@as_json()
def revoke(key_ids: tuple[str, ...], actor: str, yes: bool, json_too: bool) -> int:
    """Revoke the keys with these IDs, permanently. Several ask for confirmation."""
    from payments_api.auth.key_cache import LIFETIME_SECONDS, REFRESH_SECONDS
    from payments_api.auth.keys import checked_key_id, revoke_key
    from payments_core.db.engine import transaction

    async def work(engine: "AsyncEngine", database: str) -> int:
        ids = list(dict.fromkeys(map(checked_key_id, key_ids)))
        if len(ids) > 1 and not yes:
            output.confirm(f"Revoke {len(ids)} keys in {database}?")
        revoked: list[str] = []
        with output.progress("keys", len(ids)) as advance:
            for key_id in ids:
                async with transaction(engine) as tx:
                    if await revoke_key(tx, key_id):
                        await _record(tx, "revoke_key", actor, key_id)
                        revoked.append(key_id)
                advance(1)
        if json_too:
            print(json.dumps({"revoked": revoked}))
            return 0
        for key_id in ids:
            already = "" if key_id in revoked else " was revoked already"
            print(f"key {key_id}{already or ' is revoked'} in {database}")
        if revoked:
            print(
                f"every process refuses it within {REFRESH_SECONDS:.0f} s, or within"
                f" {LIFETIME_SECONDS:.0f} s if it cannot reach the database"
            )
        return 0

    return _run_on_engine(work)


def _run(
    work: "Callable[[AsyncConnection], Awaitable[Result]]", say: Callable[[Any, str], None]
) -> int:
    """Run the work in a transaction; after the commit, say its result and the database's name."""
    from payments_core.db.engine import transaction

    async def on_engine(engine: "AsyncEngine", database: str) -> int:
        async with transaction(engine) as tx:
            result = await work(tx)
        say(result, database)
        return 0

    return _run_on_engine(on_engine)


def _run_on_engine(work: "Callable[[AsyncEngine, str], Awaitable[int]]") -> int:
    from payments_api.auth.keys import KeyRefused
    from payments_api.settings import ApiSettings
    from payments_core.cli.database import name_of, run_on_database
    from payments_core.config import read_settings

    settings = read_settings(ApiSettings)
    try:
        return run_on_database(
            settings, lambda engine: work(engine, name_of(settings)), "payments-keys"
        )
    except KeyRefused as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1


async def _record(tx: "AsyncConnection", action: OperatorAction, actor: str, which: str) -> None:
    """Record the action in its own transaction; a key's id is no secret."""
    from payments_core.audit_log import Operator, record_action

    await record_action(tx, action, Operator(actor), which)


def _given_key(from_env: str | None, from_file: str | None) -> str | None:
    from payments_api.auth.keys import KeyRefused

    if from_env:
        key = os.environ.get(from_env)
        if not key:
            raise KeyRefused(f"the variable {from_env} is empty or not set")
        return key.strip()
    if not from_file:
        return None
    if from_file == "-":
        return sys.stdin.read(KEY_BYTES_MAX).strip()
    try:
        with Path(from_file).open() as file:
            return file.read(KEY_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRefused(f"{from_file}: {output.file_problem(error)}") from None


def _json_time(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cells(row: "AnyRow") -> tuple[str, ...]:
    times = (row.created_at, row.last_used_at, row.expires_at, row.revoked_at)
    return row.id, row.name, ",".join(row.scopes), row.tenant or "-", *map(output.shown_time, times)
