"""payments-ui: serve, healthcheck, hash-password."""

import argparse
import sys

from payments_core.config import read_settings, settings_help, warn_of_unknown_variables
from payments_core.http.healthcheck import healthcheck
from payments_core.observability.logs import configure_logs
from payments_core.observability.metrics import show_build
from payments_core.observability.tracing import tracing
from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import run, serve
from payments_ui.app import create_app
from payments_ui.settings import Settings
from payments_ui.sign_in.password import hash_password

NAME = "payments-ui"


def main() -> None:
    """Run the command; without one, serve."""
    command = _parser().parse_args().command or "serve"
    if command == "hash-password":
        sys.exit(hash_password())
    settings = read_settings(Settings)
    if command == "healthcheck":
        sys.exit(healthcheck(settings.host, settings.control_port or settings.port))
    configure_logs(NAME, settings.log_level, settings.log_format)
    warn_of_unknown_variables(settings)
    run(lambda: _serve(settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="The web page of the payments system.",
        epilog=settings_help(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve until SIGTERM, then drain (the default)")
    commands.add_parser("healthcheck", help="exit 0 if the running page is ready")
    commands.add_parser(
        "hash-password",
        help="read a password, twice from a terminal or once from standard input; print its hash",
    )
    return parser


async def _serve(settings: Settings) -> None:
    lifecycle = Lifecycle()
    options = ServeOptions(
        settings.host,
        settings.port,
        settings.drain_seconds,
        settings.shutdown_delay_seconds,
        settings.connections_max,
        control_port=settings.control_port,
    )
    with tracing(NAME, show_build(NAME)):
        await serve(create_app(settings, lifecycle), options, lifecycle)


if __name__ == "__main__":
    main()
