"""The data folder of `make up`: its state, its lock and its deletion."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from payments_local.errors import LocalError

MARKER = "MADE_BY_MAKE_UP"  # In the Postgres folder; without it, `make reset` deletes nothing.
LOCK = "lock"
FORBIDDEN_MODE = 0o027  # PostgreSQL accepts 0700 and 0750 only.
PID_FILE_LINE_START_TIME = 2
CLOCK_SLACK_SECONDS = 2


def postgres_dir(data_dir: Path) -> Path:
    return data_dir / "postgres"


def staging_dir(pgdata: Path) -> Path:
    """Return the folder in which a new data folder is prepared, to be renamed when complete."""
    return pgdata.with_name(f"{pgdata.name}.new")


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Lock the folder for one run. The kernel unlocks it when this process ends in any way.

    Raises LocalError if another run holds it, or if it is not writable.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LocalError(
            f"cannot write to the data folder {data_dir} ({error.strerror}): mend its"
            " permissions, or choose another with DATA_DIR=..."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LocalError(
            f"another `make up` is running on {data_dir}: stop it first, or choose another"
            " folder with DATA_DIR=..."
        ) from None
    finally:
        os.close(descriptor)


def is_initialised(pgdata: Path, major: str) -> bool:
    """Return True if a server of this major version can start on it, False if it is missing.

    Raises LocalError for everything in between.
    """
    try:
        status = pgdata.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise LocalError(f"{pgdata} is not a folder: move it away")
        names = set(os.listdir(pgdata))  # noqa: PTH208 - only names are needed.
    except FileNotFoundError:
        return False
    except PermissionError:
        raise LocalError(f"{pgdata} may not be read by this user: {_whose(pgdata)}") from None
    if not names:
        return False
    if "PG_VERSION" not in names:
        raise LocalError(f"{pgdata} is not a PostgreSQL data folder: {_way_out(pgdata)}")
    found = (pgdata / "PG_VERSION").read_text().strip()
    if found != major:
        raise LocalError(
            f"{pgdata} was made by PostgreSQL {found or '?'}, this is {major}: keep its payments"
            f" as in docs/operations/postgres-upgrade.md, {_way_out(pgdata)}"
        )
    _refuse_wrong_owner_or_mode(pgdata, status)
    return True


def refuse_or_clear_running_server(pgdata: Path) -> None:
    """Raise LocalError if a server runs on it; delete a pid file that outlived its server.

    PostgreSQL does the same, except if another process of the same user has that pid by then, which
    happens in containers, where pids are small.
    """
    pid_file = pgdata / "postmaster.pid"
    try:
        lines = pid_file.read_text().splitlines()
        pid, started = int(lines[0]), float(lines[PID_FILE_LINE_START_TIME])
        process = psutil.Process(pid)
        is_that_server = (
            "postgres" in process.name() and process.create_time() < started + CLOCK_SLACK_SECONDS
        )
    except FileNotFoundError:
        return
    except (IndexError, ValueError, psutil.NoSuchProcess):
        is_that_server = False
    if is_that_server:
        raise LocalError(f"another PostgreSQL (pid {pid}) is running on {pgdata}: stop it first")
    pid_file.unlink()


def reset(data_dir: Path) -> str:
    """Delete the data of `make up`, and nothing else. Return a line about it for people.

    Raises LocalError while a run or a server holds it, or if `make up` did not create it.
    """
    if not data_dir.exists():
        return f"nothing to reset: there is no {data_dir}"
    pgdata = postgres_dir(data_dir)
    with held(data_dir):
        if pgdata.is_symlink() or (pgdata.exists() and not (pgdata / MARKER).exists()):
            raise LocalError(f"{pgdata} was not made by `make up`: remove it yourself")
        refuse_or_clear_running_server(pgdata)
        try:
            for folder in (pgdata, staging_dir(pgdata)):
                if folder.exists():
                    shutil.rmtree(folder)
            (data_dir / LOCK).unlink()
        except OSError as error:
            raise LocalError(f"cannot delete {error.filename}: {error.strerror}") from error
    with suppress(OSError):  # If the folder holds something else, keep it.
        data_dir.rmdir()
    return f"deleted the data in {data_dir}"


def _refuse_wrong_owner_or_mode(pgdata: Path, status: os.stat_result) -> None:
    me = os.geteuid()
    if me == 0 and status.st_uid == 0:
        raise LocalError(
            f"{pgdata} belongs to root, which PostgreSQL refuses: chown -R postgres {pgdata}"
        )
    if me not in (0, status.st_uid):
        raise LocalError(f"{pgdata} belongs to another user: {_whose(pgdata)}")
    if status.st_mode & FORBIDDEN_MODE:
        raise LocalError(
            f"{pgdata} is open to other users, which PostgreSQL refuses: chmod 700 {pgdata}"
        )


def _whose(pgdata: Path) -> str:
    return f"run as its owner (uid {pgdata.stat().st_uid}), or choose another with DATA_DIR=..."


def _way_out(pgdata: Path) -> str:
    if (pgdata / MARKER).exists():
        return "empty it with `make reset`, or choose another with DATA_DIR=..."
    return "move it away, or choose another with DATA_DIR=..."
