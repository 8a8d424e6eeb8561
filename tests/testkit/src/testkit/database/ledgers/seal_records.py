"""A second implementation of the seal formats, from docs/decisions/0024-tamper-evidence.md."""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

DIGITS = 4  # Of one base-10000 digit of Postgres' numeric.
TYPES = {
    "ledger_entries": "int8 uuid text text text text numeric int8 numeric timestamptz uuid text",
    "reconciliation_results": "int8 uuid int8 text bool numeric text int4 timestamptz uuid",
    "payments": "uuid text bytea text numeric text text text text"
    " timestamptz timestamptz timestamptz text jsonb text",
    "reversals": "uuid text bytea uuid text text text numeric text text jsonb text text"
    " timestamptz timestamptz timestamptz",
}
# The last columns that a format does not know.
UNKNOWN = {
    2: {"ledger_entries": 2, "reconciliation_results": 1, "payments": 3},
    3: {"ledger_entries": 2, "reconciliation_results": 1},
}
# A result with its payment or its reversal.
Result: TypeAlias = tuple[asyncpg.Record, asyncpg.Record | None, asyncpg.Record | None]


def _text(*fields: Any) -> str:
    return "".join(
        "-," if field is None else f"{len(str(field).encode())}:{field}," for field in fields
    )


def _number(amount: Decimal) -> str:
    whole = format(amount, "f")
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


def _microseconds(at: datetime, since_year: int = 1970) -> int:
    since = at - datetime(since_year, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _entry_hash_1(entry: asyncpg.Record) -> bytes:
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


def _numeric(amount: Decimal) -> bytes:
    sign, _, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    whole, _, fraction = format(abs(amount), "f").partition(".")
    whole = whole.zfill(-(-len(whole) // DIGITS) * DIGITS)
    fraction = fraction.ljust(-(-len(fraction) // DIGITS) * DIGITS, "0")
    both = whole + fraction
    groups = [int(both[at : at + DIGITS]) for at in range(0, len(both), DIGITS)]
    weight = len(whole) // DIGITS - 1
    while groups and groups[0] == 0:
        weight -= 1
        groups.pop(0)
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        sign, weight = 0, 0
    head = struct.pack("!hhHH", len(groups), weight, 0x4000 * sign, max(0, -exponent))
    return head + b"".join(struct.pack("!h", group) for group in groups)


def _binary(kind: str, value: Any) -> bytes:
    """Return one value as Postgres sends it: the type's oid, the length in bytes, the bytes."""
    oids = {"bool": 16, "bytea": 17, "int8": 20, "int4": 23, "text": 25}
    oid = {**oids, "timestamptz": 1184, "numeric": 1700, "uuid": 2950, "jsonb": 3802}[kind]
    if value is None:
        return struct.pack("!Ii", oid, -1)
    match value:
        case bool():
            data = bytes([value])
        case int():
            data = struct.pack("!q" if kind == "int8" else "!i", value)
        case str():
            data = (b"\x01" if kind == "jsonb" else b"") + value.encode()
        case datetime():
            data = struct.pack("!q", _microseconds(value, 2000))
        case Decimal():
            data = _numeric(value)
        case UUID():
            data = value.bytes
        case _:
            data = bytes(value)
    return struct.pack("!Ii", oid, len(data)) + data


def _row_hash(version: int, name: str, *rows: tuple[str, asyncpg.Record | None]) -> bytes:
    fields: list[tuple[str, Any]] = [("text", name), ("int4", version)]
    for table, row in rows:
        types = TYPES[table].split()
        values = [None] * len(types) if row is None else row.values()
        columns = list(zip(types, values, strict=True))
        fields += columns[: len(columns) - UNKNOWN.get(version, {}).get(table, 0)]
    binary = b"".join(_binary(kind, value) for kind, value in fields)
    return hashlib.sha256(struct.pack("!i", len(fields)) + binary).digest()


def _entry_hash(version: int, entry: asyncpg.Record) -> bytes:
    return (
        _entry_hash_1(entry)
        if version == 1
        else _row_hash(version, "entry", ("ledger_entries", entry))
    )


def _result_hash(
    version: int,
    result: asyncpg.Record,
    payment: asyncpg.Record | None,
    reversal: asyncpg.Record | None,
) -> bytes:
    rows = [("reconciliation_results", result), ("payments", payment), ("reversals", reversal)]
    return _row_hash(version, "result", *rows[: 3 if version > 3 else 2])


def _range(first: int, last: int, ids: list[int], hashes: list[bytes]) -> list[Any]:
    """Return the seal's fields of one table's rows."""
    runs: list[list[int]] = []
    for each in ids:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return [
        first,
        last,
        len(hashes),
        ",".join(f"{first}-{last}" for first, last in runs),
        hashlib.sha256(b"".join(hashes)).hexdigest(),
        hashlib.sha256(b"".join(each[:8] for each in hashes)).hexdigest(),
    ]


def seal_hash(
    seal: asyncpg.Record,
    entries: Iterable[asyncpg.Record],
    results: Iterable[Result],
) -> bytes:
    """Return the hash of the seal over these rows, its own hashes computed anew.

    All rows have their table's columns in their order.
    """
    version = seal["format_version"]
    of_entries = _range(
        seal["from_entry_id"],
        seal["to_entry_id"],
        [entry["id"] for entry in entries],
        [_entry_hash(version, entry) for entry in entries],
    )
    of_results = []
    if version > 1:
        of_results = _range(
            seal["from_result_id"],
            seal["to_result_id"],
            [result["id"] for result, _, _ in results],
            [_result_hash(version, *result) for result in results],
        )
    text = _text(
        "seal",
        version,
        seal["seq"],
        *of_entries,
        *of_results,
        seal["previous_hash"].hex(),
        _microseconds(seal["sealed_at"]),
    )
    return hashlib.sha256(text.encode()).digest()
