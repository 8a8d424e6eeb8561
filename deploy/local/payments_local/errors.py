"""What can go wrong locally, each as one line that says what to do."""


class LocalError(Exception):
    """A local run cannot go on; the message is one line for a person."""


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP has asked for a clean stop."""
