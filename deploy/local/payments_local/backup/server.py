"""One database, and PostgreSQL's and this project's programs run on it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from payments_local.backup.errors import BackupFailed
from payments_local.postgres import BIN
from payments_local.programs import reason
from payments_local.settings import REPOSITORY

STATEMENT_SECONDS_MAX = 120.0
MAINTENANCE_DATABASE = "postgres"
END_MILLISECONDS = 10_000


@dataclass(frozen=True)
class Database:
    """A database, by its URL, which may hold a password."""

    url: str

    @property
    def name(self) -> str:
        """The database's name."""
        return unquote(urlsplit(self.url).path[1:])

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.name} at {parts.hostname or 'localhost'}:{parts.port or 5432}"

    def sibling(self, name: str) -> "Database":
        """Return another database of the same server."""
        return replace(self, url=urlunsplit(urlsplit(self.url)._replace(path=f"/{quote(name)}")))

    @cached_property
    def environ(self) -> dict[str, str]:
        """The environment for programs. It carries the password: all users see command lines."""
        password = urlsplit(self.url).password
        given = {"PGPASSWORD": unquote(password)} if password else {}
        return {**os.environ, **given, "DATABASE_URL": self.url, "PGCONNECT_TIMEOUT": "10"}

    @property
    def dsn(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        return urlunsplit(
            parts._replace(netloc=f"{user.partition(':')[0]}@{host}" if user else host)
        )

    def program(self, name: str, *arguments: str) -> list[str]:
        """Return the command that runs one of PostgreSQL's programs on this database."""
        return [str(BIN / name), "--no-password", f"--dbname={self.dsn}", *arguments]

    def sql(self, *statements: str) -> str:
        """Run each statement in its own transaction up to the first failure; return their output.

        Raises BackupFailed with the server's reason.
        """
        commands = [f"--command={statement}" for statement in statements]
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-vON_ERROR_STOP=1")
        return run(self.program("psql", *options, *commands), self.environ)

    def exists(self) -> bool:
        """Return whether the server has the database."""
        query = f"SELECT 1 FROM pg_database WHERE datname = {literal(self.name)}"
        return bool(self.sibling(MAINTENANCE_DATABASE).sql(query).strip())

    def drop(self) -> None:
        """Delete the database, if it exists, and end its sessions and its creation."""
        name = quoted(self.name)
        # A CREATE DATABASE goes on after its client was killed, and ends after the DROP.
        end = (
            f"SELECT pg_terminate_backend(pid, {END_MILLISECONDS}) FROM pg_stat_activity"
            " WHERE position('CREATE DATABASE' IN query) = 1"
            f" AND position({literal(name)} IN query) > 0"
            " AND state = 'active' AND pid <> pg_backend_pid()"
        )
        drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
        self.sibling(MAINTENANCE_DATABASE).sql(end, drop)


def quoted(name: str) -> str:
    """Return the name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as a constant in SQL."""
    return "'" + text.replace("'", "''") + "'"


def run(
    command: Sequence[str], environ: dict[str, str], seconds_max: float = STATEMENT_SECONDS_MAX
) -> str:
    """Run the program to its end; return its output. Raises BackupFailed with its reason."""
    done = attempt(command, environ, seconds_max)
    if done.returncode != 0:
        raise BackupFailed(f"{Path(command[0]).name}: {reason(done.stderr.splitlines())}")
    return done.stdout


def attempt(
    command: Sequence[str], environ: dict[str, str], seconds_max: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end, with any exit status. Raises BackupFailed after `seconds_max`."""
    try:
        return subprocess.run(  # noqa: S603 - our own commands.
            command,
            env=environ,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds_max,
            start_new_session=True,  # Ctrl-C is ours to handle.
            check=False,
        )
    except subprocess.TimeoutExpired:
        name = Path(command[0]).name
        raise BackupFailed(f"{name} took more than {seconds_max:.0f} s") from None


def our_program(module: str, *arguments: str) -> list[str]:
    """Return the command of one of this project's programs."""
    return [sys.executable, "-m", module, *arguments]


def exported_head(database: Database) -> dict[str, Any] | None:
    """Return the head of the chain of seals; None if nothing is sealed yet."""
    done = attempt(
        our_program("recon_worker", "audit", "--export-head", "-"), database.environ, 60.0
    )
    if done.returncode == 0:
        head: dict[str, Any] = json.loads(done.stdout)
        return head
    if database.sql("SELECT count(*) FROM ledger_seals").strip() == "0":
        return None
    raise BackupFailed(f"the seal's head cannot be read: {reason(done.stderr.splitlines())}")
