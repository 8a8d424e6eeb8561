"""A debit line that names a payment proposes its reversal, unless anything is ambiguous."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import uuid_utils.compat as uuid_utils
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.matching import returns
from payments_core.matching.breaks import BreakFilter, list_breaks
from payments_core.matching.candidates import describe_line
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    active_matches,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql

from .conftest import Match

ADD_REVERSAL = """
INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id, currency,
                       source, amount, reason, reference, status, settled_at)
SELECT $1::uuid, 'key-' || $1::uuid, sha256('x'), id, account_id, currency, source, $3, 'test', $4,
       $5, CASE WHEN $5 = 'pending' THEN NULL ELSE now() END
FROM payments WHERE id = $2"""
POST_REVERSAL = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, posting_kind, reversal_id, created_at)
SELECT payment_id, 'sys:clearing:00', currency, 'clearing', 'credit', amount,
       (SELECT max(account_seq) + 1 FROM ledger_entries), 0, 'reversal', id, $2::date
FROM reversals WHERE id = $1"""

ADD_ADJUSTMENT = """
INSERT INTO recon_adjustments (id, source_id, line_id, entry_ids, kind, amount, reason, proposed_by,
                               status, decided_by, decided_at, settled_at, failure)
SELECT $1::uuid, $2, $3, '{}', 'fee', -3, 'x', 'ann', $4::text,
       CASE WHEN $4 <> 'proposed' THEN 'bob' END, CASE WHEN $4 <> 'proposed' THEN now() END,
       CASE WHEN $4 = 'failed' THEN now() END, CASE WHEN $4 = 'failed' THEN 'x' END"""


async def _reverse(
    sql: Sql, payment: UUID, amount: str, reference: str | None, status: str = "completed"
) -> None:
    reversal_id = uuid_utils.uuid7()
    async with sql.transaction():
        await sql.execute("SET LOCAL session_replication_role = replica")
        await sql.execute(ADD_REVERSAL, reversal_id, payment, amount, reference, status)
        if status == "completed":
            await sql.execute(POST_REVERSAL, reversal_id, DAY)


async def _proposed(engine: AsyncEngine, line: int) -> Any:
    async with transaction(engine) as tx:
        found = await describe_line(tx, line)
    assert found is not None
    return found.as_json()["proposedReversal"]


async def _payment(sql: Sql, amount: str = "10") -> UUID:
    found = await sql.fetchval("SELECT id FROM payments WHERE amount = $1::text::numeric", amount)
    return UUID(str(found))


async def test_a_break_of_a_return_proposes_a_reversal_that_then_matches_the_line(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [Line("10", "A"), Line("-4", "A"), Line("-1")])
    await match()
    payment = await _payment(sql)
    async with transaction(engine) as tx:
        listed = await list_breaks(tx, source, BreakFilter(), 9)
    found = [each.as_json(DAY, "EUR") for each in listed]
    shown = {each["itemId"]: (each["proposedReversal"], each["whyNot"]) for each in found}
    assert shown == {
        lines[1]: (
            {"paymentId": str(payment), "amount": "4.00", "reference": "A"},
            f"no reversal of payment {payment} has this reference or amount",
        ),
        lines[2]: (None, "no open entry has this reference or amount"),
    }
    reason = await sql.fetchval("SELECT status_reason FROM statement_lines WHERE amount = -4")
    assert reason == f"returns payment {payment}: reverse the payment"

    await _reverse(sql, payment, "4", "A")
    await match()
    (_, returned) = sorted(await active_matches(sql), key=lambda each: each[1])
    assert returned[:2] == ("reference", (lines[1],))
    assert await sql.fetchval("SELECT count(*) FROM recon_breaks WHERE resolved_at IS NULL") == 1


async def test_a_payment_is_named_by_its_id_with_or_without_hyphens(
    sql: Sql, engine: AsyncEngine
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10")])
    payment = await _payment(sql)
    names = [str(payment).upper(), payment.hex]
    for line in await add_statement(
        sql, source, [Line("-3", names[0]), Line("-4", names[1]), Line("5", names[1])]
    ):
        amount = await sql.fetchval("SELECT amount FROM statement_lines WHERE id = $1", line)
        assert await _proposed(engine, line) == (
            {"paymentId": str(payment), "amount": f"{-amount}.00", "reference": payment.hex}
            if amount < 0
            else None
        )


async def test_a_line_without_a_reference_names_a_payment_by_the_banks_own(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    first, line = await add_statement(
        sql, source, [Line("10", bank_ref="A"), Line("-4", bank_ref="A", return_reason="AC04")]
    )
    await match()
    payment = await _payment(sql)
    proposal = {"paymentId": str(payment), "amount": "4.00", "reference": "A"}
    assert await _proposed(engine, line) == proposal
    reason = await sql.fetchval("SELECT status_reason FROM statement_lines WHERE id = $1", line)
    assert reason == f"returns payment {payment} (AC04): reverse the payment"

    await _reverse(sql, payment, "4", "A")
    await match()
    matched = {(rule, lines) for rule, lines, *_ in await active_matches(sql)}
    assert matched == {("bank_reference", (first,)), ("bank_reference", (line,))}


RETURNED = Line("-3", bank_ref="A", return_reason="AC04")


@pytest.mark.parametrize("other", [RETURNED, Line("-3", "A")])
async def test_two_lines_that_name_a_payment_in_one_amount_propose_nothing(
    sql: Sql, engine: AsyncEngine, match: Match, other: Line
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [RETURNED, other])
    await match()
    for line in lines:
        assert await _proposed(engine, line) is None
    of_suggested = "SELECT count(*) FROM statement_lines WHERE status = 'suggested'"
    assert await sql.fetchval(of_suggested) == 0


@pytest.mark.parametrize(
    ("line", "is_proposed"),
    [
        (RETURNED, True),
        (replace(RETURNED, return_reason=None, reversal=True), True),
        (replace(RETURNED, return_reason=None), False),
        (replace(RETURNED, end_to_end="B"), False),
        (replace(RETURNED, bank_ref="B"), False),
    ],
)
async def test_the_banks_reference_names_a_payment_in_a_return_without_another_reference(
    sql: Sql, engine: AsyncEngine, line: Line, is_proposed: bool
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    (line_id,) = await add_statement(sql, source, [line])
    assert (await _proposed(engine, line_id) is not None) == is_proposed


@pytest.mark.parametrize(
    ("reversed_by", "is_proposed"),
    [
        ([], True),
        ([("4", "A", "pending")], False),  # It fits the line.
        ([("4", "A", "completed")], False),
        ([("4", None, "pending")], False),  # Of its amount alone.
        ([("3", "A", "completed")], False),  # Of its reference alone: a person corrects it.
        ([("4", "A", "failed")], True),
        ([("6", "B", "completed")], True),  # Of another line, and enough is left.
        ([("6.01", "B", "completed")], False),  # Too little is left.
    ],
)
async def test_no_reversal_is_proposed_beside_one_that_waits_or_beyond_the_amount(
    sql: Sql, engine: AsyncEngine, reversed_by: list[tuple[str, str, str]], is_proposed: bool
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    payment = await _payment(sql)
    for amount, reference, status in reversed_by:
        await _reverse(sql, payment, amount, reference, status)
    (line,) = await add_statement(sql, source, [Line("-4", "A")])
    assert (await _proposed(engine, line) is not None) == is_proposed


async def test_a_payment_that_has_not_completed_is_not_named(sql: Sql, engine: AsyncEngine) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("UPDATE payments SET status = 'failed'")
    await sql.execute("RESET session_replication_role")
    (line,) = await add_statement(sql, source, [Line("-10", "A")])
    assert await _proposed(engine, line) is None


async def test_a_second_return_of_a_payment_is_proposed_once_the_first_is_matched(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    await add_statement(sql, source, [Line("-4", "A")])
    await _reverse(sql, await _payment(sql), "4", "A")
    await match()
    (line,) = await add_statement(sql, source, [Line("-4", "A")], opening=None)
    assert await _proposed(engine, line) is not None


async def test_what_is_ambiguous_is_never_proposed(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "two"), Entry("20", "two"), Entry("30", "twice")])
    lines = [Line("-10", "two"), Line("-3", "twice"), Line("-3", "twice"), Line("-3", "none")]
    for line in await add_statement(sql, source, lines):
        assert await _proposed(engine, line) is None
    await match()
    assert (
        await sql.fetchval("SELECT count(*) FROM statement_lines WHERE status = 'suggested'") == 0
    )


async def test_a_reference_of_very_many_payments_names_none(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await add_source(sql, "acme-bank", tenant="acme")
    owners = ["acme", *["blue"] * (returns.NAMED_MAX - 2)]
    await add_entries(sql, [Entry("10", "rent", account=f"{owner}~x") for owner in owners])
    (line,) = await add_statement(sql, source, [Line("-10", "rent")])
    assert await _proposed(engine, line) is not None, "others' payments change nothing"
    await add_entries(sql, [Entry("10", "rent", account="blue~x")])
    assert await _proposed(engine, line) is None


async def test_a_payment_of_another_tenant_channel_or_currency_is_never_named(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    acme = await add_source(sql, "acme-bank", tenant="acme")
    whole = await add_source(sql)
    await match("acme-bank", tenant="acme")
    await add_entries(sql, [Entry("10", "A", account="blue~x"), Entry("10", "B", account="acme~x")])
    await add_entries(sql, [Entry("10", "C", account="acme~x")], channel="card")
    await add_entries(sql, [Entry("10", "D", account="acme~x")], currency="USD")
    ids = {row["reference"]: row["id"] for row in await sql.fetch("SELECT * FROM payments")}
    named = {"A": False, "B": True, "C": False, "D": False}
    for name, is_named in named.items():
        for text in (name, ids[name].hex):
            (line,) = await add_statement(sql, acme, [Line("-10", text)], opening=None)
            assert (await _proposed(engine, line) is not None) == is_named, text
    # The source of all tenants speaks for blue, which has none of its own, and not for acme.
    for name, is_named in {"A": True, "B": False}.items():
        (line,) = await add_statement(sql, whole, [Line("-10", name)], opening=None)
        assert (await _proposed(engine, line) is not None) == is_named, name


@pytest.mark.parametrize(
    ("status", "is_proposed"),
    [("proposed", False), ("approved", False), ("rejected", True), ("failed", True)],
)
async def test_nothing_is_proposed_while_an_adjustment_of_the_line_waits(
    sql: Sql, engine: AsyncEngine, status: str, is_proposed: bool
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    lines = await add_statement(sql, source, [Line("-3", "A"), Line("-4", "A")])
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(ADD_ADJUSTMENT, uuid_utils.uuid7(), source, lines[0], status)
    await sql.execute("RESET session_replication_role")
    assert (await _proposed(engine, lines[0]) is not None) == is_proposed
    assert await _proposed(engine, lines[1]) is not None


@pytest.mark.parametrize(
    "change", ["status = 'ignored', status_reason = 'x'", "booking = 'pending'"]
)
async def test_a_line_that_is_not_open_proposes_nothing(
    sql: Sql, engine: AsyncEngine, change: str
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    (line,) = await add_statement(sql, source, [Line("-10", "A")])
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(f"UPDATE statement_lines SET {change}")
    await sql.execute("RESET session_replication_role")
    assert await _proposed(engine, line) is None
