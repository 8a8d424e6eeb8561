"""The command line `payments-api`: serve, healthcheck, migrate, keys, validate, openapi."""

import asyncio
import json
import os

import click

from payments_api.auth.cli import keys
from payments_api.migrate_cli import migrate
from payments_core.cli.program import Program, as_json, version

NAME = "payments-api"
# The variable that holds the API key which `validate` sends.
VALIDATE_KEY = "PAYMENTS_API_KEY"


@click.group(NAME, cls=Program, settings="payments_api.settings:ApiSettings")
@version(NAME)
def program() -> None:
    """The payments REST API and its database schema."""


@program.command(
    example="PAYMENTS_API_AUTH=off payments-api serve",
    statuses="0 stopped by SIGTERM or SIGINT; 1 cannot serve, or a background task failed;"
    " 2 a setting is invalid.",
)
def serve() -> None:
    """Serve until SIGTERM, then drain."""
    from payments_api.app import serve_api
    from payments_api.settings import ApiSettings
    from payments_core.config import read_settings
    from payments_core.server.run import run

    settings = read_settings(ApiSettings)
    run(lambda: serve_api(settings))


@program.command(
    example="payments-api healthcheck && echo ready",
    statuses="0 the running API is ready; 1 it is not, or does not answer; 2 a setting is invalid.",
)
def healthcheck() -> int:
    """Check that the running API is ready."""
    from payments_api.settings import ApiSettings
    from payments_core.config import read_settings
    from payments_core.http.healthcheck import healthcheck

    settings = read_settings(ApiSettings)
    return healthcheck(settings.host, settings.control_port or settings.port)


program.add_command(migrate)
program.add_command(keys)


@program.command(
    example="payments-api validate --api-url http://127.0.0.1:3001",
    statuses="0 all checks passed; 1 a check failed; 2 the API or the database does not answer, or"
    " the database refuses.",
)
@click.option("--api-url", help="The API's address. Default: from the settings, or API_PORT.")
@click.option(
    "--api-key",
    help=f"The API key. Prefer the variable {VALIDATE_KEY}: other users can see arguments.",
)
@as_json("Print the checks as JSON.")
def validate(api_url: str | None, api_key: str | None, json_too: bool) -> int:
    """Run seven checks of a real payment against the running system."""
    from payments_api.settings import ApiSettings
    from payments_api.validate import validate
    from payments_core.cli.database import dsn_of
    from payments_core.config import read_settings

    settings = read_settings(ApiSettings)
    url = api_url or f"http://{settings.host}:{os.environ.get('API_PORT') or settings.port}"
    key = api_key or os.environ.get(VALIDATE_KEY)
    return asyncio.run(validate(url, dsn_of(settings), key, as_json=json_too))


@program.command(
    example="payments-api openapi >openapi.json", statuses="0 the document is printed."
)
def openapi() -> None:
    """Print the OpenAPI document."""
    from payments_api.app import create_app
    from payments_api.openapi.document import document
    from payments_api.settings import ApiSettings
    from payments_core.config import read_settings

    print(json.dumps(document(create_app(read_settings(ApiSettings))), indent=2))


def main() -> None:
    """Run the command, and exit with its status."""
    program.main()


if __name__ == "__main__":
    main()
