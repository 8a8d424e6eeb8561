"""The command line `payments-ui`: serve, healthcheck, hash-password."""

from typing import TYPE_CHECKING

import click

from payments_core.cli.program import Program, version

if TYPE_CHECKING:
    from payments_ui.settings import Settings

NAME = "payments-ui"


@click.group(NAME, cls=Program, settings="payments_ui.settings:Settings")
@version(NAME)
def program() -> None:
    """The web page of the payments system."""


@program.command(
    example="PAYMENTS_UI_API_URL=http://127.0.0.1:3001 payments-ui serve",
    statuses="0 stopped by SIGTERM or SIGINT; 1 cannot serve, or a background task failed;"
    " 2 a setting is invalid.",
)
def serve() -> None:
    """Serve until SIGTERM, then drain."""
    from payments_core.config import read_settings, warn_of_unknown_variables
    from payments_core.observability.logs import configure_logs
    from payments_core.server.run import run
    from payments_ui.settings import Settings

    settings = read_settings(Settings)
    configure_logs(NAME, settings.log_level, settings.log_format)
    warn_of_unknown_variables(settings)
    run(lambda: _serve(settings))


@program.command(
    example="payments-ui healthcheck && echo ready",
    statuses="0 the running page is ready; 1 it is not, or does not answer;"
    " 2 a setting is invalid.",
)
def healthcheck() -> int:
    """Check that the running page is ready."""
    from payments_core.config import read_settings
    from payments_core.http.healthcheck import healthcheck
    from payments_ui.settings import Settings

    settings = read_settings(Settings)
    return healthcheck(settings.host, settings.control_port or settings.port)


@program.command(
    "hash-password",
    example="PAYMENTS_UI_PASSWORD_HASH=$(payments-ui hash-password)",
    statuses="0 the hash is printed; 1 the password is too short or too long.",
)
def hash_password_() -> int:
    """Read a password, twice from a terminal or once from standard input; print its hash."""
    from payments_ui.sign_in.password import hash_password

    return hash_password()


async def _serve(settings: "Settings") -> None:
    from payments_core.observability.metrics import show_build
    from payments_core.observability.tracing import tracing
    from payments_core.server.options import Lifecycle, ServeOptions
    from payments_core.server.run import serve
    from payments_ui.app import create_app
    from payments_ui.statements.acts import UPLOAD_PATH

    lifecycle = Lifecycle()
    options = ServeOptions(
        settings.host,
        settings.port,
        settings.drain_seconds,
        settings.shutdown_delay_seconds,
        settings.connections_max,
        control_port=settings.control_port,
        streamed=frozenset({UPLOAD_PATH}),
    )
    with tracing(NAME, show_build(NAME)):
        await serve(create_app(settings, lifecycle), options, lifecycle)


def main() -> None:
    """Run the command, and exit with its status."""
    program.main()


if __name__ == "__main__":
    main()
