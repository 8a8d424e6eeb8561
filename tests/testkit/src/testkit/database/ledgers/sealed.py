"""Ledgers for tests of seals, inserted with SQL."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing.chain import is_final, read_head, read_horizon, seal_next
from recon_worker.sealing.compare import SealFinding, never_handed_out
from recon_worker.sealing.heads import KeptHead
from recon_worker.sealing.row_hashes import ENTRIES
from recon_worker.sealing.verify import Walk, verify_chain
from testkit.database.ledgers.seal_records import seal_hash
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

ADD_ENTRIES = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT gen_random_uuid(), 'acc_' || n % 7, 'USD', 'payment', 'credit', n + 0.5, $2 + n, n,
       '2026-01-31T12:00:00.000001Z'::timestamptz + n * interval '1 ms'
FROM generate_series(1, $1::int) AS n"""


ADD_FAILED = """
WITH numbered AS (
    SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::int) AS n
), paid AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                          description, status, traceparent, settled_at)
    SELECT id, id::text, sha256(convert_to(id::text, 'UTF8')), 'Zoë_' || n, -n - 0.50, 'USD',
           'a ''dé'' 3:x,', 'failed', CASE WHEN n % 2 = 0 THEN '00-' || n END, now()
    FROM numbered
)
INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes, rule_version)
SELECT id, n, 'failed', false, 'Negative amount not allowed', 1 FROM numbered ORDER BY n"""
ADD_REVERSED = """
WITH numbered AS (
    SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::int) AS n
), reversed AS (
    INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,
                           currency, source, amount, reason, reference, metadata, status,
                           traceparent, settled_at)
    SELECT id, id::text, sha256(convert_to(id::text, 'UTF8')), gen_random_uuid(), 'Zoë_' || n,
           'USD', 'bank', n + 0.50, 'a ''dé'' 3:x,', CASE WHEN n % 2 = 0 THEN 'R' END,
           CASE WHEN n % 2 = 1 THEN '{"a": "é"}'::jsonb END, 'completed', '00-' || n, now()
    FROM numbered
)
INSERT INTO reconciliation_results (reversal_id, recon_job_id, status, matched, notes, rule_version)
SELECT id, n, 'completed', true, 'Reversed', 1 FROM numbered ORDER BY n"""
ADD_FORMAT_1 = """
INSERT INTO ledger_seals (seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids,
                          entries_hash, entry_digests, previous_hash, seal_hash, sealed_at)
SELECT $1, 1, $2, $3, count(*), range_agg(int8range(id, id, '[]')),
       sha256(string_agg(hash, NULL ORDER BY id)),
       string_agg(substr(hash, 1, 8), NULL ORDER BY id), $4, sha256(''), now()
FROM ({entries} BETWEEN $2 AND $3) AS entry"""


async def add_entries(sql: Sql, count: int) -> None:
    """Add `count` entries without payments, with the guards disabled."""
    last = await sql.fetchval("SELECT coalesce(max(account_seq), 0) FROM ledger_entries")
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(ADD_ENTRIES, count, last)
    await sql.execute("SET session_replication_role = DEFAULT")


async def add_failed(sql: Sql, count: int) -> None:
    """Add `count` failed payments with their results."""
    await sql.execute(ADD_FAILED, count)


async def add_reversed(sql: Sql, count: int) -> None:
    """Add `count` completed reversals with their results, with the guards disabled."""
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(ADD_REVERSED, count)
    await sql.execute("SET session_replication_role = DEFAULT")


async def seal_in_format_1(sql: Sql, engine: AsyncEngine) -> None:
    """Seal the entries as a release before format 2 does."""
    async with single_statement(engine) as connection:
        head = await read_head(connection)
    last = await sql.fetchval("SELECT max(id) FROM ledger_entries")
    values = (head.seq + 1, head.to_entry_id + 1, last, head.seal_hash)
    await sql.execute(ADD_FORMAT_1.format(entries=ENTRIES[1]), *values)
    seal = await sql.fetchrow("SELECT * FROM ledger_seals WHERE seq = $1", head.seq + 1)
    assert seal is not None
    entries = "SELECT * FROM ledger_entries WHERE id BETWEEN $1 AND $2 ORDER BY id"
    made = seal_hash(seal, await sql.fetch(entries, *values[1:3]), [])
    change = f"UPDATE ledger_seals SET seal_hash = '\\x{made.hex()}' WHERE seq = {head.seq + 1}"
    await break_ledger(sql, change)


async def leave_gap(sql: Sql, ids: int) -> None:
    """Use up ids, as a rolled-back posting does."""
    await sql.execute("SELECT nextval('ledger_entries_id_seq') FROM generate_series(1, $1)", ids)


async def seal_all(engine: AsyncEngine, keys: Sequence[bytes] = ()) -> int:
    """Seal all final rows; return the number of seals."""
    async with single_statement(engine) as connection:
        horizon = await read_horizon(connection)
        if not await is_final(connection, horizon):
            return 0
    seals = 0
    while await seal_next(engine, horizon, keys):
        seals += 1
    return seals


async def verify_all(engine: AsyncEngine, keys: Sequence[bytes] = ()) -> list[SealFinding]:
    """Return every difference from the seals."""
    async with single_statement(engine) as connection:
        head = await read_head(connection)
        walk = Walk()
        async for _ in verify_chain(connection, walk, head.seq, keys):
            pass
        return [*walk.findings, *await never_handed_out(connection, head)]


async def assert_seals_hold(engine: AsyncEngine) -> None:
    """Seal the remaining rows, and verify all of them."""
    await seal_all(engine)
    assert await verify_all(engine) == []


async def last_head(engine: AsyncEngine) -> KeptHead:
    """Return the head, to be kept elsewhere."""
    async with single_statement(engine) as connection:
        head = await read_head(connection)
    return KeptHead(head.seq, head.seal_hash)


async def rewrite_chain(sql: Sql, engine: AsyncEngine, keys: Sequence[bytes] = ()) -> None:
    """Seal the changed ledger again from the start, as a superuser with this code could."""
    await break_ledger(sql, "DELETE FROM ledger_seals")
    await seal_all(engine, keys)
