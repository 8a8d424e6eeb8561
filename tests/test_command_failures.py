"""Failures of commands: one line with the cause, and the documented exit status."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

import payments_api.__main__
import recon_worker.__main__
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres
from payments_local.settings import REPOSITORY
from testkit.command_line import CommandLine
from testkit.terminal import answer_on_a_terminal
from testkit.worker.own_system import migrated_postgres

SECONDS_MAX = 20.0
ROLES = """
CREATE ROLE guarded LOGIN PASSWORD 'right';
CREATE ROLE stranger LOGIN;
"""


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """Run a server whose role `guarded` needs a password; `stranger` has no grants."""
    with migrated_postgres() as server:
        rules = server.pgdata / "pg_hba.conf"
        rules.write_text(f"host all guarded all scram-sha-256\n{rules.read_text()}")
        asyncio.run(_make_roles(server.url))
        yield server


async def _make_roles(url: str) -> None:
    sql = await asyncpg.connect(url)
    await sql.execute(ROLES)
    await sql.execute("SELECT pg_reload_conf()")
    await sql.close()


def _settings(url: str) -> dict[str, str]:
    port = str(free_port())
    return {
        "DATABASE_URL": url,
        "PAYMENTS_API_AUTH": "off",
        "PAYMENTS_API_PORT": port,
        "RECON_WORKER_PORT": port,
        "LOG_FORMAT": "auto",
    }


def _environ(url: str, **more: str) -> dict[str, str]:
    return {**os.environ, **_settings(url), **more}


def _run(url: str, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=_environ(url, **environ),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


MAINS = {"payments_api": payments_api.__main__.main, "recon_worker": recon_worker.__main__.main}
SERVERS = [("payments_api", "serve"), ("recon_worker", "run")]
AUDIT: tuple[str, ...] = ("recon_worker", "audit")
COMMANDS = [
    ("payments_api", "migrate"),
    ("payments_api", "migrate", "--check"),
    ("payments_api", "keys", "list"),
    ("payments_api", "keys", "create", "--name", "shop", "--scopes", "all"),
    ("payments_api", "keys", "rotate", "k" * 12),
    ("payments_api", "keys", "revoke", "k" * 12),
    ("payments_api", "validate"),
    AUDIT,
    ("recon_worker", "audit", "--full"),
    ("recon_worker", "audit", "--seal"),
    ("recon_worker", "audit", "--export-head", "-"),
    ("recon_worker", "audit", "--check-head", os.devnull),
    ("recon_worker", "jobs", "list"),
    ("recon_worker", "jobs", "show", "1"),
    ("recon_worker", "jobs", "replay", "1"),
    ("recon_worker", "jobs", "discard", "1", "--reason", "a duplicate"),
]
# The commands that succeed on an empty database, and the export of a head that does not exist.
PRINT = (
    *(("migrate",), ("keys", "list"), ("jobs", "list")),
    *(("audit",), ("audit", "--full"), ("audit", "--seal"), ("audit", "--export-head", "-")),
)
# User, password and database of each rejection, and what the line must name.
REFUSALS = {
    "role": ("postgresql://nobody@127.0.0.1:{port}/payments", 'role "nobody" does not exist'),
    "password": ("postgresql://guarded:wrong@127.0.0.1:{port}/payments", "guarded"),
    "no password": ("postgresql://guarded@127.0.0.1:{port}/payments", "guarded"),
    "database": ("postgresql://postgres@127.0.0.1:{port}/nowhere", '"nowhere" does not exist'),
    "option": (
        "postgresql://postgres@127.0.0.1:{port}/payments?options=-c%20no_such%3D1",
        "no_such",
    ),
}


# What a command meets in place of its database.
OTHERS = {
    "no grants": "postgresql://stranger@127.0.0.1:{port}/payments",
    "no server": "postgresql://stranger@127.0.0.1:1/payments",
    "no database": REFUSALS["database"][0],
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("command", [*SERVERS, AUDIT], ids=" ".join)
def test_a_permanent_rejection_ends_each_program_with_one_line(
    own_postgres: EmbeddedPostgres, command: tuple[str, ...], refusal: str
) -> None:
    url, named = REFUSALS[refusal]
    ended = _run(url.format(port=own_postgres.port), *command)
    assert ended.returncode != 0
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "wrong" not in ended.stdout + ended.stderr
    # Status 1 is a permanent failure of a server.
    assert ended.returncode == (1 if command in SERVERS else 2)


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_a_command_that_cannot_work_ends_with_one_line(
    own_postgres: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    what: str,
) -> None:
    program, *words = command
    run = CommandLine(monkeypatch, capsys, MAINS[program])
    settings = _settings(OTHERS[what].format(port=own_postgres.port))
    status, output, error = await run(*words, **settings)
    # A migration's 2 means that a later attempt may succeed.
    assert status == (1 if "migrate" in command and what != "no server" else 2)
    assert error.count("\n") == 1, error
    assert ("the database does not answer" in error) == (what == "no server")
    assert ('"nowhere" does not exist' in error) == (what == "no database")
    assert output == ""


def test_validating_an_unreachable_api_prints_one_line_that_names_it(
    own_postgres: EmbeddedPostgres,
) -> None:
    for address in (
        "http://127.0.0.1:1",
        "nonsense",
        "http://[",
        f"http://127.0.0.1:{own_postgres.port}",
    ):
        ended = _run(own_postgres.url, "payments_api", "validate", "--api-url", address)
        assert (ended.returncode, ended.stdout) == (2, ""), address
        assert ended.stderr.startswith("validate: ")
        assert address in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_every_program_and_make_target_uses_the_database_on_pg_port(
    own_postgres: EmbeddedPostgres,
) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    for command in (
        [sys.executable, "-m", "payments_api", "keys", "list"],
        [sys.executable, "-m", "recon_worker", "jobs", "list"],
        [sys.executable, "-m", "recon_worker", "audit"],
        # -o: treats .venv as up to date, so that a test never reinstalls its own packages.
        ["make", "-o", ".venv/.installed", "keys"],
        ["make", "-o", ".venv/.installed", "jobs"],
        ["make", "-o", ".venv/.installed", "audit"],
    ):
        for port, status in ((own_postgres.port, 0), (free_port(), 2)):
            ended = subprocess.run(
                command,
                env={**environ, "PG_PORT": str(port)},
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
            assert ended.returncode == status, (command, ended.stderr)
            assert (str(port) in ended.stderr) == (status == 2)


def test_validation_on_this_machine_bypasses_a_configured_proxy(
    own_postgres: EmbeddedPostgres,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.1)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environ = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), address)
        api = f"http://localhost:{free_port()}"
        ended = _run(own_postgres.url, "payments_api", "validate", "--api-url", api, **environ)
        assert ended.returncode == 2
        with pytest.raises(TimeoutError):
            proxy.accept()


async def test_an_interrupted_command_reports_no_result(
    own_postgres: EmbeddedPostgres,
) -> None:
    sql = await asyncpg.connect(own_postgres.url)
    async with sql.transaction():
        await sql.execute("LOCK TABLE recon_jobs")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recon_worker", "jobs", "list"),
            env=_environ(own_postgres.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        for _ in range(int(SECONDS_MAX / 0.1)):
            if await sql.fetchval(waits):
                break
            await asyncio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, error = await process.communicate()
    await sql.close()
    assert (process.returncode, out, error) == (130, b"", b"interrupted\n")


async def test_the_first_ctrl_c_at_a_question_ends_the_command(
    own_postgres: EmbeddedPostgres,
) -> None:
    command = (sys.executable, "-m", "payments_api", "keys", "revoke", "k" * 12, "l" * 12)
    status, shown = await answer_on_a_terminal(
        command, ("[y/N]: ", "\x03"), environ=_environ(own_postgres.url)
    )
    assert (status, shown.splitlines()[-1]) == (130, "^Cinterrupted")


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request: pytest.FixtureRequest) -> str:
    """PYTHONUNBUFFERED: buffered output fails when the program ends, other output in `print`."""
    return str(request.param)


@pytest.mark.parametrize(
    "command",
    [*(command for command in COMMANDS if command[1:] in PRINT), ("payments_api", "openapi")],
    ids=" ".join,
)
def test_a_closed_pipe_is_not_reported_as_a_database_error(
    own_postgres: EmbeddedPostgres, command: tuple[str, ...], buffering: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            env=_environ(own_postgres.url, PYTHONUNBUFFERED=buffering),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=SECONDS_MAX,
            check=False,
        )
    finally:
        os.close(writing)
    # The shell's status for SIGPIPE; nothing is sealed, so there is no head.
    assert ended.returncode == (2 if "--export-head" in command else 141)
    assert ended.stderr.count(b"\n") == ("--export-head" in command)


@pytest.mark.parametrize(
    "command",
    [
        ("payments_api", "--help"),
        ("payments_api", "migrate"),
        ("payments_api", "openapi"),
        ("payments_local", "--version"),
        ("recon_worker", "statements", "verify", "--json"),
    ],
    ids=" ".join,
)
def test_a_full_disk_under_the_output_is_not_reported_as_a_database_error(
    own_postgres: EmbeddedPostgres, command: tuple[str, ...], buffering: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            env=_environ(own_postgres.url, PYTHONUNBUFFERED=buffering),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS_MAX,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (
        2,
        b"the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("payments_api", "nonsense"), 2),
        (("payments_api", "openapi"), 0),
        (("payments_local", "drill", "/no/backup"), 2),
        (("recon_worker", "audit", "--full"), 0),
        (("recon_worker", "audit", "--check-head", os.devnull), 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_takes_no_text_changes_no_exit_status(
    own_postgres: EmbeddedPostgres,
    command: tuple[str, ...],
    status: int,
    streams: str,
    buffering: str,
) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", *command],
        env=_environ(own_postgres.url, PYTHONUNBUFFERED=buffering),
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == status
