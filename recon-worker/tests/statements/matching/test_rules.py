"""The rules: each takes what is unique on both sides, and nothing else."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from recon_worker.statements.matching.rule_sets import take_rules
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

AUTOMATIC = (
    '{"rules": [{"rule": "reference"}, {"rule": "amount_and_date", "days": 3, "automatic": true}]}'
)


async def _statuses(sql: Sql) -> list[str]:
    rows = await sql.fetch("SELECT status FROM statement_lines ORDER BY id")
    return [row["status"] for row in rows]


async def test_a_reference_and_amount_unique_on_both_sides_match(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("10", "INV-1"), Entry("10", "INV-2"), Entry("7")])
    lines = await add_statement(sql, source, [Line("10", "INV-2"), Line("10", "INV-1")])
    outcome = await match()
    assert await active_matches(sql) == {
        ("reference", (lines[0],), (entries[1],)),
        ("reference", (lines[1],), (entries[0],)),
    }
    assert outcome.as_json()["counts"]["matches"] == {"reference": 2}
    assert await sql.fetchval("SELECT array_agg(entry_id) FROM open_entries") == [entries[2]]


async def test_a_payments_id_matches_with_and_without_hyphens(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("1"), Entry("2")])
    one, two = [row[0] for row in await sql.fetch("SELECT id FROM payments ORDER BY amount")]
    await add_statement(sql, source, [Line("1", str(one).upper()), Line("2", two.hex)])
    await match()
    assert await _statuses(sql) == ["matched", "matched"]


async def test_equal_candidates_are_never_guessed(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("10", "A"), Entry("5", "B")])
    await add_statement(sql, source, [Line("10", "A"), Line("5", "B"), Line("5", "B")])
    await match()
    assert await active_matches(sql) == set()


async def test_another_amount_sign_or_booking_does_not_match(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A"), Entry("10", "B"), Entry("10", "C")])
    lines = [Line("10.01", "A"), Line("-10", "B"), Line("10", "C", booking="pending")]
    await add_statement(sql, source, lines)
    await match()
    assert await active_matches(sql) == set()


async def test_a_clearing_credit_matches_money_out(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("10", "A"), Entry("-10", "A")])
    lines = await add_statement(sql, source, [Line("-10", "A", return_reason="AC04")])
    await match()
    assert await active_matches(sql) == {("reference", (lines[0],), (entries[1],))}
    assert await _statuses(sql) == ["returned"]


async def test_the_banks_own_reference_comes_after_the_reference(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    entries = await add_entries(sql, [Entry("10", "A"), Entry("10", "ch_1")])
    lines = [Line("10", "A", bank_ref="ch_1"), Line("10", bank_ref="ch_1")]
    ids = await add_statement(sql, source, lines)
    await match()
    assert await active_matches(sql) == {
        ("reference", (ids[0],), (entries[0],)),
        ("bank_reference", (ids[1],), (entries[1],)),
    }


async def test_a_batch_matches_one_line_to_many_entries_and_vice_versa(
    sql: Sql, match: Match
) -> None:
    source = await add_source(sql)
    entries = await add_entries(
        sql,
        [Entry("1", "B1"), Entry("2", "B1"), Entry("7", "B2"), Entry("1", "B3"), Entry("2", "B3")],
    )
    ids = await add_statement(
        sql,
        source,
        [
            Line("3", batch_ref="B1"),
            Line("3", batch_ref="B2"),
            Line("4", batch_ref="B2"),
            Line("1.50", batch_ref="B3"),
            Line("1.50", batch_ref="B3"),
        ],
    )
    await match()
    assert await active_matches(sql) == {
        ("batch_sum", (ids[0],), (entries[0], entries[1])),
        ("batch_sum", (ids[1], ids[2]), (entries[2],)),
    }, "a batch of two lines and two entries is not split by guessing"


async def test_amount_and_date_only_suggest_by_default(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10"), Entry("20", day=DAY - timedelta(days=9))])
    await add_statement(sql, source, [Line("10"), Line("20")])
    await match()
    assert await active_matches(sql) == set()
    assert await _statuses(sql) == ["suggested", "unmatched"]


async def test_amount_and_date_match_only_if_unique_on_both_sides(
    sql: Sql, engine: AsyncEngine, match: Match
) -> None:
    source = await add_source(sql)
    async with transaction(engine) as tx:
        assert await take_rules(tx, source, AUTOMATIC) == 2
        assert await take_rules(tx, source, AUTOMATIC) == 2, "the same rules are the same version"
    later = DAY + timedelta(days=3)
    entries = await add_entries(
        sql,
        [Entry("10"), Entry("20"), Entry("20"), Entry("30"), Entry("40", day=later), Entry("50")],
    )
    lines = [Line("10"), Line("20"), Line("30"), Line("30"), Line("40"), Line("50", "X")]
    ids = await add_statement(sql, source, lines)
    await match()
    assert await active_matches(sql) == {
        ("amount_and_date", (ids[0],), (entries[0],)),
        ("amount_and_date", (ids[4],), (entries[4],)),
    }


async def test_a_difference_of_the_charges_is_suggested(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    (entry,) = await add_entries(sql, [Entry("1526", "A")])
    await add_statement(sql, source, [Line("1500", "A", charges="26"), Line("9", "A2")])
    await match()
    reason = await sql.fetchval("SELECT status_reason FROM statement_lines WHERE amount = 1500")
    assert reason == f"entry {entry} has this reference; the amounts differ by -26"
    assert await _statuses(sql) == ["suggested", "unmatched"]


async def test_a_returned_payment_is_suggested_for_reversal(sql: Sql, match: Match) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    await add_statement(sql, source, [Line("10", "A"), Line("-10", "A", return_reason="AC04")])
    await match()
    assert await _statuses(sql) == ["matched", "suggested"]
    reason = await sql.fetchval("SELECT status_reason FROM statement_lines WHERE amount = -10")
    assert reason.endswith("(AC04): reverse the payment")


async def test_a_payment_that_the_bank_reversed_is_suggested_for_reversal(
    sql: Sql, match: Match
) -> None:
    source = await add_source(sql)
    await add_entries(sql, [Entry("10", "A")])
    await add_statement(sql, source, [Line("-10", "A", reversal=True)])
    await match()
    assert await _statuses(sql) == ["suggested"]
    reason = await sql.fetchval("SELECT status_reason FROM statement_lines WHERE amount = -10")
    assert reason.endswith("(reversed by the bank): reverse the payment")


async def test_a_line_returns_no_payment_of_another_tenant(sql: Sql, match: Match) -> None:
    acme = await add_source(sql, "acme-bank", tenant="acme")
    await add_entries(sql, [Entry("10", "A", account="blue~x")])
    of_blue = await sql.fetchval("SELECT id FROM payments")
    lines = [Line("-10", name, return_reason="AC04") for name in ("A", of_blue.hex)]
    await add_statement(sql, acme, lines)
    await match("acme-bank", tenant="acme")
    assert await _statuses(sql) == ["unmatched", "unmatched"]
    await add_entries(sql, [Entry("10", "A", account="acme~x")])
    await match("acme-bank", tenant="acme")
    assert await _statuses(sql) == ["suggested", "unmatched"], "another's reference changes nothing"


async def test_sources_see_their_own_channel_tenant_and_currency(sql: Sql, match: Match) -> None:
    whole = await add_source(sql)
    card = await add_source(sql, "card", channel="card")
    acme = await add_source(sql, "acme-bank", tenant="acme")
    dollars = await add_source(sql, "dollars", currency="USD")
    await add_entries(sql, [Entry("1", "A"), Entry("2", "A", account="acme~x")])
    await add_entries(sql, [Entry("3", "A", account="other~x")])
    await add_entries(sql, [Entry("4", "A")], channel="card")
    await add_entries(sql, [Entry("5", "A")], currency="USD")
    for name, tenant in (("bank", None), ("card", None), ("acme-bank", "acme"), ("dollars", None)):
        await match(name, tenant=tenant)
    found = await sql.fetch("SELECT source_id, amount FROM open_entries ORDER BY amount")
    assert [(row[0], int(row[1])) for row in found] == [
        (whole, 1),
        (acme, 2),
        (whole, 3),
        (card, 4),
        (dollars, 5),
    ]
