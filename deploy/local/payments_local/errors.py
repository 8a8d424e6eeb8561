"""Errors of local runs: each message is one line that says what to do."""


class LocalError(Exception):
    """A local run cannot continue; the message is one line for people."""

    status = 2  # Of the command. 1 is kept for a verdict: invalid books, a service that ended.


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP requested a clean stop."""
