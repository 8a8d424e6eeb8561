"""A ledger and a statement for tests of guards."""

import pytest

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

from .statement_rows import (
    FILE,
    insert_chunk,
    insert_file,
    insert_line,
    insert_source,
    insert_statement,
)


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


@pytest.fixture
async def statements(sql: Sql) -> Sql:
    """Create a source with a file, its chunk, a statement and a line."""
    await sql.execute(insert_source(name="'bank'"))
    await sql.execute(insert_file(id=f"'{FILE}'", sha256="sha256('')"))
    await sql.execute(insert_chunk(chunk_no="0"))
    await sql.execute(insert_statement(number="1"))
    await sql.execute(insert_line(line_no="1", fingerprint="sha256('1')"))
    return sql
