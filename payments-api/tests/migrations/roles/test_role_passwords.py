"""Passwords of roles reach the server as verifiers, in the server's own form."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from payments_api.migrate import migrate
from payments_api.role_passwords import scram_verifier
from payments_local.postgres import EmbeddedPostgres, running_postgres
from testkit.database.sql import Sql
from testkit.waiting import until

PASSWORDS = [
    "plain ASCII, with 'quotes' and \\ and %",
    "pässwörd-ß-€",
    "ﬁve Ⅷ ½",  # Compatibility characters: NFKC changes them.
    "e\u0301 composed",
    "no\u00a0break\u2003space",  # Mapped to spaces.
    "soft\u00adhyphen\u200bzero",  # Mapped to nothing.
    "\u00ad",  # Nothing remains, so the raw bytes are used.
    "пароль",
    "密碼",
    "\u05e2\u05d1\u05e8\u05d9\u05ea",  # Right to left.
    "\u0627\u0644\u0639 abc",  # Right-to-left mixed with left-to-right: prohibited.
    "1\u0627\u0644",  # Right to left that begins with a digit: prohibited.
    "emoji \U0001f511",  # Unassigned in Unicode 3.2: prohibited.
    "control \u0085",
    "private \ue000",
    "deprecated \u0340",
    "ligature \ufb01\u0301",
]


@pytest.fixture(scope="module")
def logging_server() -> Iterator[EmbeddedPostgres]:
    """A server that logs every statement with its parameters, to a file."""
    settings = {
        "log_statement": "all",
        "log_parameter_max_length": "-1",
        "log_min_duration_statement": "0",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "all.log",
    }
    with running_postgres(settings=settings) as server:
        yield server


def _log_of(server: EmbeddedPostgres) -> str:
    return (server.pgdata / "log" / "all.log").read_text(errors="replace")


@pytest.fixture
async def sql(logging_server: EmbeddedPostgres) -> AsyncIterator[Sql]:
    connection = await asyncpg.connect(logging_server.url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_verifier_equals_the_one_of_postgres(sql: Sql, password: str) -> None:
    await sql.execute("DROP ROLE IF EXISTS someone")
    quoted = await sql.fetchval("SELECT quote_literal($1::text)", password)
    await sql.execute(f"CREATE ROLE someone PASSWORD {quoted}")
    made: str = await sql.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'someone'")
    salt = base64.b64decode(made.split("$")[1].split(":")[1])
    assert scram_verifier(password, salt) == made


async def test_two_verifiers_of_one_password_differ() -> None:
    assert scram_verifier("secret") != scram_verifier("secret")


async def test_passwords_work_and_never_reach_the_servers_log(
    logging_server: EmbeddedPostgres, sql: Sql
) -> None:
    passwords = {
        "payments_api": "api-s3cret-in-clear",
        "payments_worker": "wörker-s3cret-in-clear",
        "payments_readonly": "rea'donly-s3cret-in-clear",
    }
    await migrate(logging_server.url, passwords=passwords)
    await sql.execute("SELECT 'written this far'")

    async def is_written() -> bool:
        return "written this far" in _log_of(logging_server)

    await until(is_written)
    log = _log_of(logging_server)
    assert "payments_worker" in log
    assert "s3cret-in-clear" not in log

    hba = logging_server.pgdata / "pg_hba.conf"
    trusting = hba.read_text()
    try:
        hba.write_text("host all postgres all trust\nhost all all all scram-sha-256\n")
        await sql.execute("SELECT pg_reload_conf()")
        for role, password in passwords.items():
            where: dict[str, Any] = {
                "host": "127.0.0.1",
                "port": logging_server.port,
                "database": "payments",
            }
            connection = await asyncpg.connect(user=role, password=password, **where)
            await connection.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(user=role, password=f"{password}!", **where)
    finally:
        hba.write_text(trusting)
        await sql.execute("SELECT pg_reload_conf()")
