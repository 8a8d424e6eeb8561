"""payments-api keys: create, list, rotate, revoke. Keys go to standard output, notes to stderr."""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import SCOPES
from payments_api.auth.key_cache import LIFETIME_SECONDS, REFRESH_SECONDS
from payments_api.auth.keys import (
    KeyGrant,
    KeyRefused,
    KeyRevoked,
    add_key,
    checked_key_id,
    ensure_key,
    id_of,
    list_keys,
    new_key,
    revoke_key,
    rotate_key,
)
from payments_core.audit_log import (
    Operator,
    record_action,
    this_user,
)
from payments_core.command_line import DATABASE_ERRORS, database_failure
from payments_core.db.engine import AnyRow, create_engine, transaction
from payments_core.domain.statuses import OPERATOR_MAX_CHARS, OperatorAction

GRACE_DEFAULT = timedelta(hours=24)
LIFE_MAX = timedelta(days=36_500)
KEY_BYTES_MAX = 200
PAGE_KEY_NAME = "payments-ui"
_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLUMNS = ("id", "name", "scopes", "tenant", "created", "last used", "expires", "revoked")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands of `keys`."""
    commands = parser.add_subparsers(dest="keys_command", required=True)
    creating = commands.add_parser("create", help="create a key and print it, once")
    creating.add_argument("--name", required=True, help="a name that says who uses the key")
    creating.add_argument(
        "--scopes", required=True, help=f"comma-separated scopes, or all: {', '.join(SCOPES)}"
    )
    creating.add_argument(
        "--tenant", help="restrict the key to this tenant's payments and accounts"
    )
    creating.add_argument(
        "--expires-in", type=_span, help="lifetime such as 12h or 90d (default: no expiry)"
    )
    made = creating.add_mutually_exclusive_group()
    made.add_argument(
        "--from-env", metavar="VARIABLE", help="register the key in this environment variable"
    )
    made.add_argument(
        "--from-file", metavar="FILE", help="register the key in this file; - reads standard input"
    )
    commands.add_parser("generate", help="print a new key without storing it, for a secret store")
    listing = commands.add_parser("list", help="list the keys, without their secrets")
    listing.add_argument("--all", action="store_true", help="include revoked and expired keys")
    listing.add_argument("--json", action="store_true", help="print one JSON object per line")
    rotating = commands.add_parser(
        "rotate", help="create a successor; the old key ends after the grace period"
    )
    rotating.add_argument("id")
    rotating.add_argument(
        "--grace",
        type=_span,
        default=GRACE_DEFAULT,
        help="how long the old key stays valid (default: 24h)",
    )
    revoking = commands.add_parser("revoke", help="revoke a key now, for good")
    revoking.add_argument("id")
    for command in (creating, rotating, revoking):
        command.add_argument(
            "--actor",
            type=_actor,
            default=this_user(),
            help="the operator to record (default: the current user)",
        )


def _actor(text: str) -> str:
    if not 1 <= len(text) <= OPERATOR_MAX_CHARS:
        raise argparse.ArgumentTypeError(f"must have 1 to {OPERATOR_MAX_CHARS} characters")
    return text


def _span(text: str) -> timedelta:
    matched = _SPAN.fullmatch(text)
    span = timedelta(**{_UNITS[matched[2]]: int(matched[1])}) if matched else None
    if span is None or span > LIFE_MAX:
        raise argparse.ArgumentTypeError("must be a number with the unit s, m, h or d, such as 90d")
    return span


def run_keys(dsn: str, arguments: argparse.Namespace) -> int:
    """Run a command. Exit status: 0 done, 1 refused, 2 the database does not answer or refuses."""
    if arguments.keys_command == "generate":
        print(new_key())
        return 0
    try:
        print(asyncio.run(_do(dsn, arguments)))
    except KeyRefused as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except DATABASE_ERRORS as error:
        print(f"keys: {database_failure(error)}", file=sys.stderr)
        return 2
    return 0


async def register_page(dsn: str, key: str) -> str:
    """Store the page's own key unless it exists; return what happened. Raises KeyRefused.

    A revoked key stays revoked, and this is no failure: the migration runs again with the existing
    Secret, and a page without a key must not keep the schema from its release.
    """
    grant = KeyGrant(PAGE_KEY_NAME, frozenset(SCOPES))
    engine = create_engine(dsn, application_name="payments-keys", pool_size=1)
    try:
        async with transaction(engine) as tx:
            new = await ensure_key(tx, key, grant)
            if new:
                await _record(tx, "create_key", this_user(), f"{id_of(key)}, {grant.name}")
        return f"key {id_of(key)} of the page is {'registered' if new else 'registered already'}"
    except KeyRevoked as error:
        return f"the page has no valid key: {error}"
    finally:
        await engine.dispose()


async def _do(dsn: str, arguments: argparse.Namespace) -> str:
    engine = create_engine(dsn, application_name="payments-keys", pool_size=1)
    try:
        async with transaction(engine) as tx:
            return await _COMMANDS[arguments.keys_command](tx, arguments)
    finally:
        await engine.dispose()


async def _create(tx: AsyncConnection, arguments: argparse.Namespace) -> str:
    life = arguments.expires_in
    scopes = SCOPES if arguments.scopes == "all" else arguments.scopes.split(",")
    grant = KeyGrant(
        arguments.name,
        frozenset(scope.strip() for scope in scopes),
        arguments.tenant,
        None if life is None else datetime.now(UTC) + life,
    )
    given = _given_key(arguments)
    if given is None:
        key = new_key()
        await add_key(tx, key, grant)
        await _record(tx, "create_key", arguments.actor, f"{id_of(key)}, {grant.name}")
        print("The key is shown only once:", file=sys.stderr)
        return key
    new = await ensure_key(tx, given, grant)
    # Recorded for an existing key too: its name and scopes may have changed.
    await _record(tx, "create_key", arguments.actor, f"{id_of(given)}, {grant.name}")
    return f"key {id_of(given)} is {'registered' if new else 'registered already'}"


async def _record(tx: AsyncConnection, action: OperatorAction, actor: str, which: str) -> None:
    """Record the action in its own transaction; a key's id is no secret."""
    await record_action(tx, action, Operator(actor), which)


def _given_key(arguments: argparse.Namespace) -> str | None:
    if arguments.from_env:
        key = os.environ.get(arguments.from_env)
        if not key:
            raise KeyRefused(f"the variable {arguments.from_env} is empty or not set")
        return key.strip()
    if not arguments.from_file:
        return None
    if arguments.from_file == "-":
        return sys.stdin.read(KEY_BYTES_MAX).strip()
    try:
        with Path(arguments.from_file).open() as file:
            return file.read(KEY_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRefused(f"cannot read {arguments.from_file}: {error}") from None


async def _list(tx: AsyncConnection, arguments: argparse.Namespace) -> str:
    rows = await list_keys(tx, ended_too=arguments.all)
    if arguments.json:
        return "\n".join(json.dumps(row._asdict(), default=_json_time) for row in rows)
    return _table([_COLUMNS, *map(_cells, rows)])


def _json_time(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cells(row: AnyRow) -> tuple[str, ...]:
    times = (row.created_at, row.last_used_at, row.expires_at, row.revoked_at)
    shown = ("-" if at is None else at.strftime("%Y-%m-%d %H:%M") for at in times)
    return row.id, row.name, ",".join(row.scopes), row.tenant or "-", *shown


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


async def _rotate(tx: AsyncConnection, arguments: argparse.Namespace) -> str:
    key_id = checked_key_id(arguments.id)
    key = await rotate_key(tx, key_id, arguments.grace)
    await _record(tx, "rotate_key", arguments.actor, f"{key_id}, to {id_of(key)}")
    print(
        f"Key {key_id} ends in {arguments.grace}. Its successor, shown only once:", file=sys.stderr
    )
    return key


async def _revoke(tx: AsyncConnection, arguments: argparse.Namespace) -> str:
    key_id = checked_key_id(arguments.id)
    if not await revoke_key(tx, key_id):
        return f"key {key_id} was revoked already"
    await _record(tx, "revoke_key", arguments.actor, key_id)
    return (
        f"key {key_id} is revoked: every process refuses it within {REFRESH_SECONDS:.0f} s, or"
        f" within {LIFETIME_SECONDS:.0f} s if it cannot reach the database"
    )


_COMMANDS = {"create": _create, "list": _list, "rotate": _rotate, "revoke": _revoke}
