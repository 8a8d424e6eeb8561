"""An empty database, the command that migrates it, and a ledger for tests of guards."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from payments_api.__main__ import main
from payments_local.postgres import BIN, EmbeddedPostgres
from testkit.command_line import CommandLine
from testkit.database.guarded_rows import (
    GENESIS,
    POSTING,
    A,
    B,
    C,
    D,
    R,
    S,
    T,
    insert_payment,
    insert_result,
    insert_reversal,
    insert_seal,
)
from testkit.database.sql import Sql


@pytest.fixture
async def empty_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Return the superuser's URL of an empty database for one test."""
    server = await asyncpg.connect(postgres.url)
    await server.execute("CREATE DATABASE migrations")
    yield urlsplit(postgres.url)._replace(path="/migrations").geturl()
    await server.execute("DROP DATABASE migrations WITH (FORCE)")
    await server.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run `payments-api migrate ...` in this process; return exit status, output and errors."""
    return CommandLine(monkeypatch, capsys, main, "migrate")


@pytest.fixture
async def ledger(sql: Sql) -> Sql:
    """Insert two pending payments, a failed one, and a completed one with three reversals."""
    for payment_id, key in ((A, "a"), (B, "b"), (C, "c"), (D, "d")):
        await sql.execute(insert_payment(id=f"'{payment_id}'", idempotency_key=f"'{key}'"))
        await sql.execute(f"INSERT INTO recon_jobs (payment_id) VALUES ('{payment_id}')")
    for payment_id, status in ((C, "completed"), (D, "failed")):
        await sql.execute(
            f"UPDATE payments SET status = '{status}', settled_at = now() WHERE id = '{payment_id}'"
        )
    await sql.execute(POSTING.replace(A, C).replace(", 2, ", ", 1, "))
    await sql.execute(
        "INSERT INTO accounts (account_id, currency, balance, seq, debits, credits)"
        " VALUES ('acc_1', 'USD', 1, 1, 0, 1), ('sys:clearing:00', 'USD', -1, 1, 1, 0)"
    )
    for reversal_id, amount in ((R, "0.4"), (S, "0.1"), (T, "0.5")):
        values = {"id": f"'{reversal_id}'", "idempotency_key": f"'{reversal_id}'"}
        await sql.execute(insert_reversal(**values, amount=amount))
        if reversal_id != R:
            status = "completed" if reversal_id == S else "failed"
            await sql.execute(
                f"UPDATE reversals SET status = '{status}', settled_at = now()"
                f" WHERE id = '{reversal_id}'"
            )
    await sql.execute(insert_result(payment_id=f"'{C}'"))
    await sql.execute(insert_result(payment_id=f"'{D}'", status="'failed'", matched="false"))
    await sql.execute(
        "INSERT INTO operator_actions (action, actor, reason, job_ids)"
        " VALUES ('replay', 'ann', '', '{1}')"
    )
    first = {"seq": "1", "from_entry_id": "1", "previous_hash": GENESIS, "seal_hash": "sha256('1')"}
    await sql.execute(insert_seal(**first))
    return sql


async def rows_of(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def schema_of(url: str) -> str:
    """Return pg_dump's schema, without its random markers."""
    dump = await asyncio.create_subprocess_exec(
        str(BIN / "pg_dump"), "--schema-only", url, stdout=subprocess.PIPE
    )
    text = (await dump.communicate())[0].decode()
    assert dump.returncode == 0
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)
