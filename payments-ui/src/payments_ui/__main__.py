"""payments-ui: serve the page, or ask whether it is ready."""

import argparse
import sys

from payments_core.config import LogSettings, read_settings
from payments_core.http.healthcheck import healthcheck
from payments_core.observability.logs import configure_logs
from payments_core.observability.metrics import show_build
from payments_core.observability.tracing import tracing
from payments_core.server.run import Lifecycle, ServeOptions, run, serve
from payments_ui.app import create_app
from payments_ui.settings import Settings
from payments_ui.sign_in.password import hash_password

COMMANDS = ("serve", "healthcheck", "hash-password")


def _help() -> str:
    lines = [
        f"  PAYMENTS_UI_{name.upper():<24} {field.description} (default: {field.default})"
        for name, field in Settings.model_fields.items()
    ]
    return "settings, from the environment:\n" + "\n".join(lines)


def main() -> None:
    """Read the settings, then do what the command says."""
    parser = argparse.ArgumentParser(
        prog="payments-ui",
        description="The web page of the payments system.",
        epilog=_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", default="serve", choices=COMMANDS)
    command = parser.parse_args().command
    if command == "hash-password":
        sys.exit(hash_password())
    settings = read_settings(Settings)
    if command == "healthcheck":
        sys.exit(healthcheck(settings.host, settings.port))
    logs = read_settings(LogSettings)
    configure_logs("payments-ui", logs.log_level, logs.log_format)

    async def body() -> None:
        lifecycle = Lifecycle()
        options = ServeOptions(
            settings.host,
            settings.port,
            settings.drain_seconds,
            settings.shutdown_delay_seconds,
            settings.connections_max,
        )
        with tracing("payments-ui", show_build("payments-ui")):
            await serve(create_app(settings, lifecycle), options, lifecycle)

    run(body)


if __name__ == "__main__":
    main()
