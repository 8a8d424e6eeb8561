"""Errors of local runs: each message is one line that says what to do."""

import sys
from typing import Any

import click

from payments_core.cli.output import escaped


class LocalError(click.ClickException):
    """A local run cannot continue; the message is for people."""

    exit_code = 2  # 1 is kept for a verdict: invalid books, a service that ended.

    def show(self, file: Any = None) -> None:
        """Print the message. It may name files, and quote the last lines of a service."""
        lines = map(escaped, self.message.splitlines())
        print("error:", "\n".join(lines), file=sys.stderr)


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP requested a clean stop."""
