"""Errors of local runs: each message is one line that says what to do."""


class LocalError(Exception):
    """A local run cannot continue; the message is one line for people."""


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP requested a clean stop."""
