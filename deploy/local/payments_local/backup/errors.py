"""Errors of backups, with the exit status of the command."""

from payments_local.errors import LocalError


class BackupFailed(LocalError):
    """The command failed; it replaced nothing."""


class BooksBroken(LocalError):
    """The backup's books, restored into a scratch database, violate an invariant."""

    exit_code = 1
