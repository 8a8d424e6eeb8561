"""`payments-api migrate`: bring the schema to a revision, and register the page's key."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from payments_core.cli.program import Command

if TYPE_CHECKING:
    from payments_api.settings import ApiSettings

# The variables that hold the passwords of the roles that `migrate` creates.
ROLE_PASSWORDS = {
    "payments_api": "PAYMENTS_DB_API_PASSWORD",
    "payments_worker": "PAYMENTS_DB_WORKER_PASSWORD",
    "payments_readonly": "PAYMENTS_DB_READONLY_PASSWORD",
    "payments_backup": "PAYMENTS_DB_BACKUP_PASSWORD",
}
# The variable that holds the page's key, which `migrate` registers.
PAGE_KEY = "PAYMENTS_UI_API_KEY"


@click.command(
    cls=Command,
    example="payments-api migrate\npayments-api migrate 0013      # back to an older revision",
    statuses="0 the schema is at the revision; 1 it cannot be migrated there; 2 the database does"
    " not answer: retry.",
)
@click.argument("revision", default="head")
@click.option("--sql", is_flag=True, help="Print the SQL of all revisions without running it.")
@click.option("--check", is_flag=True, help="Fail if table definitions and revisions differ.")
def migrate(revision: str, sql: bool, check: bool) -> int:
    """Migrate the schema to a REVISION: head, base or a number.

    With LOG_FORMAT=json it prints its result as a JSON object.
    """
    from alembic.util import CommandError

    from payments_api import migrate as migrations
    from payments_api.auth.keys import KeyRefused
    from payments_api.settings import ApiSettings
    from payments_core.cli.database import DATABASE_ERRORS, dsn_of, may_come_back
    from payments_core.config import read_settings

    if sql:
        migrations.offline_sql()
        return 0
    settings = read_settings(ApiSettings)
    try:
        if check:
            asyncio.run(migrations.check(dsn_of(settings)))
        else:
            _migrate(settings, revision)
    except KeyRefused as error:
        _say(settings, "migration_failed", f"migrate: {PAGE_KEY}: {error}", failed=True)
        return 1
    except (CommandError, *DATABASE_ERRORS) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        if may_come_back(error):
            reason = f"the database does not answer: {reason}"
        _say(settings, "migration_failed", f"migrate: {reason}", failed=True)
        return 2 if may_come_back(error) else 1
    return 0


def _migrate(settings: "ApiSettings", revision: str) -> None:
    from payments_api import migrate as migrations
    from payments_api.auth.page_key import register_page
    from payments_core.cli.database import dsn_of, name_of

    dsn = dsn_of(settings)
    at = asyncio.run(migrations.migrate(dsn, revision, _role_passwords()))
    ours = migrations.head_revision()
    newer = f", newer than this release's {ours}, which works on it" if at > ours else ""
    summary = f"the schema of {name_of(settings)} is at revision {at}{newer}"
    _say(settings, "schema_migrated", summary)
    page_key = _given(PAGE_KEY) if revision == "head" else None
    if page_key:
        summary = asyncio.run(register_page(dsn, page_key))
        _say(settings, "page_key_checked", summary)


def _say(settings: "ApiSettings", event: str, line: str, *, failed: bool = False) -> None:
    """Print the line, or log it as an event where LOG_FORMAT=json."""
    if settings.log_format != "json":
        print(line, file=sys.stderr if failed else sys.stdout)
        return
    from payments_core.observability.logs import configure_logs

    configure_logs("payments-api", settings.log_level, settings.log_format)
    level = logging.ERROR if failed else logging.INFO
    logging.getLogger("payments_api.migrate").log(level, event, extra={"detail": line})


def _role_passwords() -> dict[str, str]:
    passwords = {}
    for role, variable in ROLE_PASSWORDS.items():
        password = _given(variable)
        if password:
            passwords[role] = password
    return passwords


def _given(variable: str) -> str | None:
    """Return the variable's value, or the content of the file that VARIABLE_FILE names."""
    file = os.environ.get(f"{variable}_FILE")
    return Path(file).read_text().strip() if file else os.environ.get(variable)
