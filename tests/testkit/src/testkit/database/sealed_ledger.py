"""Ledgers to seal, written directly, and the seals' format once more, from its description."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing.chain import is_final, read_head, seal_next, see_horizon
from recon_worker.sealing.heads import KeptHead
from recon_worker.sealing.verify import SealFinding, Walk, never_handed_out, verify_chain
from testkit.database.backlog import Sql
from testkit.database.settled_ledger import break_ledger

ADD_ENTRIES = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT gen_random_uuid(), 'acc_' || n % 7, 'USD', 'payment', 'credit', n + 0.5, $2 + n, n,
       '2026-01-31T12:00:00.000001Z'::timestamptz + n * interval '1 ms'
FROM generate_series(1, $1::int) AS n"""


async def add_entries(sql: Sql, count: int) -> None:
    """Post so many entries of nobody's payments: the guards look away."""
    last = await sql.fetchval("SELECT coalesce(max(account_seq), 0) FROM ledger_entries")
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(ADD_ENTRIES, count, last)
    await sql.execute("SET session_replication_role = DEFAULT")


async def leave_gap(sql: Sql, ids: int) -> None:
    """Use up ids, as a posting that is rolled back does."""
    await sql.execute("SELECT nextval('ledger_entries_id_seq') FROM generate_series(1, $1)", ids)


async def seal_all(engine: AsyncEngine, keys: Sequence[bytes] = ()) -> int:
    """Seal whatever is final now; how many seals that took."""
    async with single_statement(engine) as connection:
        horizon = await see_horizon(connection)
        if not await is_final(connection, horizon):
            return 0
    seals = 0
    while await seal_next(engine, horizon.entry_id, keys):
        seals += 1
    return seals


async def verify_all(engine: AsyncEngine, keys: Sequence[bytes] = ()) -> list[SealFinding]:
    """Everything that is not as it was sealed."""
    async with single_statement(engine) as connection:
        head = await read_head(connection)
        walk = Walk()
        async for _ in verify_chain(connection, walk, head.seq, keys):
            pass
        return [*walk.findings, *await never_handed_out(connection, head)]


async def assert_seals_hold(engine: AsyncEngine) -> None:
    """Seal what is left, and verify all of it."""
    await seal_all(engine)
    assert await verify_all(engine) == []


async def last_head(engine: AsyncEngine) -> KeptHead:
    """The head, as somebody keeps it elsewhere."""
    async with single_statement(engine) as connection:
        head = await read_head(connection)
    return KeptHead(head.seq, head.seal_hash)


async def rewrite_chain(sql: Sql, engine: AsyncEngine, keys: Sequence[bytes] = ()) -> None:
    """What a superuser with all of this code does: seal the changed ledger from the start."""
    await break_ledger(sql, "DELETE FROM ledger_seals")
    await seal_all(engine, keys)


def _text(*fields: Any) -> str:
    return "".join(
        "-," if field is None else f"{len(str(field).encode())}:{field}," for field in fields
    )


def _number(amount: Decimal) -> str:
    whole = format(amount, "f")
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


def _microseconds(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def entry_hash(entry: asyncpg.Record) -> bytes:
    """An entry's hash, as docs/decisions/0024-tamper-evidence.md describes it."""
    text = _text(
        "entry",
        1,
        entry["id"],
        entry["payment_id"],
        entry["account_id"],
        entry["currency"],
        entry["entry_type"],
        entry["direction"],
        _number(entry["amount"]),
        entry["account_seq"],
        _number(entry["balance_after"]),
        _microseconds(entry["created_at"]),
    )
    return hashlib.sha256(text.encode()).digest()


def seal_hash(seal: asyncpg.Record, entries: Iterable[asyncpg.Record]) -> bytes:
    """The hash that the seal over these entries must have, its own hashes made anew."""
    hashes = [entry_hash(entry) for entry in entries]
    runs: list[list[int]] = []
    for entry in entries:
        if runs and entry["id"] == runs[-1][1] + 1:
            runs[-1][1] = entry["id"]
        else:
            runs.append([entry["id"], entry["id"]])
    text = _text(
        "seal",
        1,
        seal["seq"],
        seal["from_entry_id"],
        seal["to_entry_id"],
        len(hashes),
        ",".join(f"{first}-{last}" for first, last in runs),
        hashlib.sha256(b"".join(hashes)).hexdigest(),
        hashlib.sha256(b"".join(each[:8] for each in hashes)).hexdigest(),
        seal["previous_hash"].hex(),
        _microseconds(seal["sealed_at"]),
    )
    return hashlib.sha256(text.encode()).digest()
