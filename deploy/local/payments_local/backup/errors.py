"""Errors of backups, with the exit status that each command ends with."""

from payments_local.errors import LocalError


class BackupFailed(LocalError):
    """The command could not be carried out; nothing was replaced."""

    status = 2


class BooksBroken(LocalError):
    """The backup was restored into a scratch database, and its books do not hold."""

    status = 1
