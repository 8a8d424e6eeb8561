"""Sources, entries and statement lines for tests of matching, stored directly."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any

import uuid_utils.compat as uuid_utils

from testkit.database.sql import Sql

DAY = date(2026, 3, 2)  # A Monday long ago, completely before every cut.
_numbers = itertools.count(1)

ADD_PAYMENTS = """
INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                      description, status, created_at, updated_at, settled_at, reference, source)
SELECT id, 'key-' || id, sha256('x'), account, abs(amount), $6, '', 'completed', noon, noon, noon,
       reference, $7
FROM (SELECT *, day + time '12:00' AT TIME ZONE 'UTC' AS noon
      FROM unnest($1::uuid[], $2::text[], $3::numeric[], $4::text[], $5::date[])
          AS t (id, account, amount, reference, day)) AS payment"""
# A negative entry is the clearing leg of a reversal with the id of its payment.
ADD_REVERSALS = """
INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id, currency,
                       source, amount, reason, status, created_at, updated_at, settled_at,
                       reference)
SELECT id, 'key-' || id, sha256('x'), id, account, $6, $7, -amount, 'test', 'completed', noon,
       noon, noon, reference
FROM (SELECT *, day + time '12:00' AT TIME ZONE 'UTC' AS noon
      FROM unnest($1::uuid[], $2::text[], $3::numeric[], $4::text[], $5::date[])
          AS t (id, account, amount, reference, day)) AS reversal WHERE amount < 0"""
ADD_ENTRIES = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at, posting_kind, reversal_id)
SELECT id, 'sys:clearing:' || CASE $5 WHEN 'default' THEN '' ELSE $5 || ':' END || '00', $4,
       'clearing', CASE WHEN amount > 0 THEN 'debit' ELSE 'credit' END, abs(amount),
       $6 + row_number() OVER (), 0, day + time '12:00' AT TIME ZONE 'UTC',
       CASE WHEN amount > 0 THEN 'payment' ELSE 'reversal' END, CASE WHEN amount < 0 THEN id END
FROM unnest($1::uuid[], $2::numeric[], $3::date[]) AS t (id, amount, day) RETURNING id"""
ADD_FILE = """
INSERT INTO statement_files (id, source_id, sha256, chunks_sha256, size_bytes, status, actor,
                             decided_at)
VALUES ($1, $2, $3, $3, 1, 'accepted', 'test', now())"""
ADD_STATEMENT = """
INSERT INTO statements (source_id, file_id, number, kind, from_on, to_on, opening, closing, net,
                        entry_count, line_count, previous_id)
VALUES ($1, $2, 1, 'statement', $3, $4, $5::numeric, $5::numeric + $6, $6, $7, $7,
        (SELECT max(id) FROM statements WHERE source_id = $1)) RETURNING id"""
ADD_LINES = """
INSERT INTO statement_lines (statement_id, source_id, line_no, part_no, amount, currency, booked_on,
    end_to_end, bank_ref, batch_ref, return_reason, charges, reversal, booking, fingerprint,
    occurrence, status)
SELECT $1, $2, row_number() OVER (), 0, amount, $3, day, end_to_end, bank_ref, batch_ref,
       return_reason, charges, reversal, booking, fingerprint, 1, 'unmatched'
FROM unnest($4::numeric[], $5::date[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::numeric[], $11::text[], $12::bytea[], $13::boolean[])
    AS t (amount, day, end_to_end, bank_ref, batch_ref, return_reason, charges, booking,
          fingerprint, reversal)
RETURNING id"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A clearing entry: positive is money in."""

    amount: str | Decimal
    reference: str | None = None
    day: date = DAY
    account: str = "acc"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement: positive is money in."""

    amount: str | Decimal
    end_to_end: str | None = None
    day: date = DAY
    bank_ref: str | None = None
    batch_ref: str | None = None
    return_reason: str | None = None
    charges: str | Decimal | None = None
    booking: str = "booked"
    reversal: bool = False


async def add_source(
    sql: Sql,
    name: str = "bank",
    *,
    channel: str = "default",
    tenant: str | None = None,
    currency: str = "EUR",
    grace_days: int = 2,
    time_zone: str = "UTC",
) -> int:
    """Store a source and return its id."""
    return int(
        await sql.fetchval(
            "INSERT INTO recon_sources (name, tenant, account_identifier, currency, format,"
            " channel, grace_days, time_zone) VALUES ($1, $2, upper($1), $3, 'auto', $4, $5, $6)"
            " RETURNING id",
            *(name, tenant, currency, channel, grace_days, time_zone),
        )
    )


async def add_entries(
    sql: Sql, entries: Iterable[Entry], *, channel: str = "default", currency: str = "EUR"
) -> list[int]:
    """Store completed payments with their clearing entries; return the entries' ids."""
    wanted = list(entries)
    ids = [uuid_utils.uuid7() for _ in wanted]
    amounts = [Decimal(entry.amount) for entry in wanted]
    days = [entry.day for entry in wanted]
    async with sql.transaction():
        await sql.execute("SET LOCAL session_replication_role = replica")
        columns = (
            ids,
            [entry.account for entry in wanted],
            amounts,
            [entry.reference for entry in wanted],
            days,
        )
        await sql.execute(ADD_PAYMENTS, *columns, currency, channel)
        await sql.execute(ADD_REVERSALS, *columns, currency, channel)
        first = next(_numbers) * 10_000_000
        rows = await sql.fetch(ADD_ENTRIES, ids, amounts, days, currency, channel, first)
    return [row["id"] for row in rows]


async def add_statement(
    sql: Sql,
    source_id: int,
    lines: Sequence[Line],
    *,
    from_on: date = DAY,
    to_on: date = DAY,
    opening: str | Decimal | None = "0",
    currency: str = "EUR",
) -> list[int]:
    """Store an accepted statement with its lines; return the lines' ids."""
    file_id = uuid_utils.uuid7()
    booked = [Decimal(line.amount) for line in lines if line.booking == "booked"]
    net = sum(booked, Decimal())
    await sql.execute(ADD_FILE, file_id, source_id, hashlib.sha256(file_id.bytes).digest())
    start = None if opening is None else Decimal(opening)
    values = (source_id, file_id, from_on, to_on, start, net, len(lines))
    statement_id = await sql.fetchval(ADD_STATEMENT, *values)

    def of(name: str) -> list[Any]:
        return [getattr(line, name) for line in lines]

    rows = await sql.fetch(
        ADD_LINES,
        *(statement_id, source_id, currency),
        [Decimal(line.amount) for line in lines],
        *(of("day"), of("end_to_end"), of("bank_ref"), of("batch_ref"), of("return_reason")),
        [None if line.charges is None else Decimal(line.charges) for line in lines],
        of("booking"),
        [
            hashlib.sha256(f"{statement_id}|{number}".encode()).digest()
            for number in range(len(lines))
        ],
        of("reversal"),
    )
    return [row["id"] for row in rows]


MATCHES = """
SELECT id, rule, why, score, actor, first_on, last_on FROM recon_matches WHERE undone_at IS NULL"""
# Put together here: a planner that takes the tables for empty joins each match with every leg.
LEGS = "SELECT match_id, side, item_id FROM match_legs ORDER BY item_id"
STATE = {
    "lines": "SELECT id, status, status_reason FROM statement_lines ORDER BY id",
    "entries": "SELECT * FROM open_entries ORDER BY entry_id",
    "breaks": "SELECT id, source_id, class, side, item_id, amount, opened_on, break_on, assignee,"
    " note, resolved_at IS NULL AS open FROM recon_breaks ORDER BY id",
    "days": "SELECT * FROM recon_days ORDER BY source_id, booked_on",
}


async def active_matches(sql: Sql) -> set[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Return the active matches as (rule, lines, entries)."""
    return {(match[0], *match[-2:]) for match in await _matches(sql)}


async def state_of(sql: Sql) -> dict[str, list[tuple[Any, ...]]]:
    """Return a run's decisions, without ids and times of its rows."""
    tables = {name: [tuple(row) for row in await sql.fetch(query)] for name, query in STATE.items()}
    return {**tables, "matches": sorted(await _matches(sql), key=itemgetter(-2, -1))}


async def _matches(sql: Sql) -> list[tuple[Any, ...]]:
    """Return the active matches: columns without ids, then the lines and the entries."""
    legs: dict[tuple[int, str], list[int]] = defaultdict(list)
    for match_id, side, item_id in await sql.fetch(LEGS):
        legs[match_id, side].append(item_id)
    return [
        (*columns, tuple(legs[match_id, "line"]), tuple(legs[match_id, "entry"]))
        for match_id, *columns in await sql.fetch(MATCHES)
    ]
