"""payments-api: serve, migrate, keys, validate, openapi, healthcheck."""

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from alembic.util import CommandError

from payments_api import migrate
from payments_api.auth.cli import add_commands, register_page, run_keys
from payments_api.auth.keys import KeyRefused
from payments_api.settings import ApiSettings
from payments_core.command_line import DATABASE_ERRORS, reader_may_leave
from payments_core.config import read_settings, settings_help
from payments_core.db.engine import is_unavailable
from payments_core.db.url import dsn_with_password
from payments_core.http.healthcheck import healthcheck
from payments_core.observability.logs import configure_logs
from payments_core.server.run import run

# The variables that hold the passwords of the roles that `migrate` creates.
ROLE_PASSWORDS = {
    "payments_api": "PAYMENTS_DB_API_PASSWORD",
    "payments_worker": "PAYMENTS_DB_WORKER_PASSWORD",
    "payments_readonly": "PAYMENTS_DB_READONLY_PASSWORD",
}

# The variable that holds the page's key, which `migrate` registers.
PAGE_KEY = "PAYMENTS_UI_API_KEY"
# The variable that holds the API key which `validate` sends.
VALIDATE_KEY = "PAYMENTS_API_KEY"


@reader_may_leave()
def main() -> None:
    """Run what the command line asks for."""
    arguments = _parser().parse_args()
    settings = read_settings(ApiSettings)
    if arguments.command == "serve":
        from payments_api.app import serve_api

        run(lambda: serve_api(settings))
    elif arguments.command == "healthcheck":
        sys.exit(healthcheck(settings.host, settings.control_port or settings.port))
    elif arguments.command == "openapi":
        from payments_api.app import create_app
        from payments_api.openapi.document import document

        print(json.dumps(document(create_app(settings)), indent=2))
    elif arguments.command == "validate":
        from payments_api.validate import validate

        url = arguments.api_url or f"http://{settings.host}:{settings.port}"
        key = arguments.api_key or os.environ.get(VALIDATE_KEY)
        sys.exit(asyncio.run(validate(url, _dsn(settings), key)))
    elif arguments.command == "keys":
        sys.exit(run_keys(_dsn(settings), arguments))
    else:
        sys.exit(_migrate(settings, arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="payments-api",
        description="The payments REST API and its database schema.",
        epilog=settings_help(ApiSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve until SIGTERM, then drain")
    commands.add_parser("healthcheck", help="exit with 0 if the running API is ready")
    commands.add_parser("openapi", help="print the OpenAPI document")
    validating = commands.add_parser("validate", help="run seven checks against the running system")
    validating.add_argument("--api-url", help="the API's address (default: from the settings)")
    validating.add_argument(
        "--api-key", help=f"prefer the variable {VALIDATE_KEY}, which other users cannot see"
    )
    add_commands(commands.add_parser("keys", help="create, list, rotate and revoke API keys"))
    migrating = commands.add_parser("migrate", help="migrate the schema to a revision")
    migrating.add_argument("revision", nargs="?", default="head", help="head, base or a number")
    migrating.add_argument("--sql", action="store_true", help="print the SQL without running it")
    migrating.add_argument(
        "--check",
        action="store_true",
        help="fail if the table definitions and the revisions differ",
    )
    return parser


def _dsn(settings: ApiSettings) -> str:
    return dsn_with_password(settings.database_url, settings.database_password_file)


def _migrate(settings: ApiSettings, arguments: argparse.Namespace) -> int:
    if arguments.sql:
        migrate.offline_sql()
        return 0
    try:
        if arguments.check:
            asyncio.run(migrate.check(_dsn(settings)))
            return 0
        at = asyncio.run(migrate.migrate(_dsn(settings), arguments.revision, _role_passwords()))
        ours = migrate.head_revision()
        newer = f", newer than this release's {ours}, which works on it" if at > ours else ""
        _say(settings, "schema_migrated", f"the schema is at revision {at}{newer}")
        page_key = _given(PAGE_KEY) if arguments.revision == "head" else None
        if page_key:
            said = asyncio.run(register_page(_dsn(settings), page_key))
            _say(settings, "page_key_checked", said)
    except KeyRefused as error:
        _say(settings, "migration_failed", f"migrate: {PAGE_KEY}: {error}", failed=True)
        return 1
    except BrokenPipeError:
        raise
    except (CommandError, *DATABASE_ERRORS) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        if is_unavailable(error):
            reason = f"the database does not answer: {reason}"
        _say(settings, "migration_failed", f"migrate: {reason}", failed=True)
        return 2 if is_unavailable(error) else 1
    return 0


def _say(settings: ApiSettings, event: str, line: str, *, failed: bool = False) -> None:
    """Print the line, or log it as an event where LOG_FORMAT=json."""
    if settings.log_format != "json":
        print(line, file=sys.stderr if failed else sys.stdout)
        return
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


if __name__ == "__main__":
    main()
