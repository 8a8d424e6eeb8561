"""A batch whose transactions come in another file: matched as a whole, and counted once."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.matching.bridge import read_bridge
from payments_core.matching.matches import undo_match
from recon_worker.audit.matching import MATCHING_INVARIANTS
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from testkit.camt_files import ACCOUNT
from testkit.command_line import Answer
from testkit.database.ledgers.settled import findings_of
from testkit.database.matching_books import DAY, Entry, active_matches, add_entries
from testkit.database.sql import Sql
from testkit.statements import balance, camt, entry

from .conftest import Match

Import = Callable[..., Awaitable[Answer]]
BATCH = "<Btch><PmtInfId>RUN-7</PmtInfId></Btch>"
REFERENCE = "<AcctSvcrRef>BANK-1</AcctSvcrRef>"
PAID = [Entry("10", "INV-1"), Entry("20", "INV-2"), Entry("20", "INV-3")]
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Detail:
    """A transaction of a batch."""

    amount: str
    end_to_end: str
    own_ref: str = ""

    def xml(self) -> str:
        """Return the TxDtls."""
        own = f"<AcctSvcrRef>{self.own_ref}</AcctSvcrRef>" if self.own_ref else ""
        return (
            f"<TxDtls><Refs>{own}<EndToEndId>{self.end_to_end}</EndToEndId></Refs>"
            f'<Amt Ccy="EUR">{self.amount}</Amt></TxDtls>'
        )


DETAILS = [Detail("10", "INV-1"), Detail("20", "INV-2"), Detail("20", "INV-3")]


def statement(*entries: str, net: str = "50") -> bytes:
    """Return a camt.053 of these entries."""
    return camt(balance("OPBD", "0"), balance("CLBD", net), *entries)


def batch(amount: str, inside: str, details: list[Detail] | None = None, **more: str) -> str:
    """Return an entry that is a batch, with its transactions if there are any."""
    ref, tag, of_batch = inside.partition("<Btch>")
    xml = "".join(detail.xml() for detail in details or [])
    return entry(amount, inside=ref, details=tag + of_batch + xml, **more)


def notification(*entries: str, message: str = "camt.054.001.08") -> bytes:
    """Return a camt.054 of these entries."""
    return camt(*entries, message=message)


@pytest.fixture
def received(import_bytes: Import) -> Import:
    """`await received(data, data)` imports files, each of which must be accepted."""

    async def run(*files: bytes) -> Answer:
        for data in files:
            answer = await import_bytes(data, f"{next(_names)}.xml")
            assert answer[0] == 0, answer
        return answer

    return run


async def lines(sql: Sql) -> list[tuple[int, str, str]]:
    rows = await sql.fetch(
        "SELECT amount, kind, status FROM statement_lines AS line"
        " JOIN statements AS s ON s.id = line.statement_id ORDER BY line.id"
    )
    return [(int(row[0]), row[1], row[2]) for row in rows]


async def broken(engine: AsyncEngine) -> list[str]:
    found = await findings_of(engine, "full")
    names = [each.name for each in (*MATCHING_INVARIANTS, *STATEMENT_INVARIANTS)]
    return [name for name in names if found[name].offending]


async def the_source(sql: Sql) -> int:
    return int(await sql.fetchval("SELECT id FROM recon_sources"))


async def is_matched(sql: Sql) -> bool:
    return bool(await active_matches(sql))


@pytest.mark.parametrize("first", ["statement", "details"])
async def test_a_batch_matches_the_payments_that_its_details_name_in_another_file(
    sql: Sql, received: Import, match: Match, engine: AsyncEngine, first: str
) -> None:
    entries = await add_entries(sql, PAID)
    files = [statement(batch("50", BATCH)), notification(batch("50", BATCH, DETAILS))]
    for data in files if first == "statement" else files[::-1]:
        await received(data)
        await match("bank-eur")
    ((rule, matched, of_ledger),) = await active_matches(sql)
    assert (rule, len(matched), sorted(of_ledger)) == ("batch_sum", 1, entries)
    assert await sql.fetchval("SELECT why FROM recon_matches") == "3 details of RUN-7"
    details = [(int(each.amount), "notification", "ignored") for each in DETAILS]
    assert sorted(await lines(sql)) == sorted([(50, "statement", "matched"), *details])
    async with transaction(engine) as tx:
        bridge = await read_bridge(tx, await the_source(sql), DAY, DAY)
    assert (f"{bridge.residual:f}", bridge.verdict) == ("0.00", "reconciled"), (
        "details are not counted twice"
    )
    assert await broken(engine) == []
    assert (await match("bank-eur")).changed is False


async def test_a_batch_and_its_details_have_the_entrys_reference_of_the_bank(
    sql: Sql, received: Import, match: Match
) -> None:
    await add_entries(sql, PAID)
    own = [Detail(each.amount, each.end_to_end, f"TX-{each.end_to_end}") for each in DETAILS]
    details = notification(batch("50", REFERENCE, own))
    await received(statement(batch("50", REFERENCE)), details)
    await match("bank-eur")
    ((_, _, of_ledger),) = await active_matches(sql)
    assert len(of_ledger) == 3


async def test_an_entry_whose_one_detail_comes_in_another_file_is_matched(
    sql: Sql, received: Import, match: Match
) -> None:
    await add_entries(sql, [Entry("50", "INV-1")])
    one = notification(batch("50", REFERENCE, [Detail("50", "INV-1")]))
    await received(statement(batch("50", REFERENCE)), one)
    await match("bank-eur")
    assert await is_matched(sql)


async def test_details_repeated_by_a_report_are_the_same_details(
    sql: Sql, received: Import, match: Match
) -> None:
    await add_entries(sql, PAID)
    same = batch("50", BATCH, DETAILS[::-1])
    report = notification(same, message="camt.052.001.08")
    await received(statement(batch("50", BATCH)), notification(same), report)
    await match("bank-eur")
    assert await is_matched(sql)


async def test_details_within_the_statement_match_singly_whatever_repeats_them(
    sql: Sql, received: Import, match: Match, engine: AsyncEngine
) -> None:
    await add_entries(sql, PAID)
    whole = batch("50", BATCH, DETAILS)
    await received(notification(whole), statement(whole))
    await match("bank-eur")
    assert {rule for rule, *_ in await active_matches(sql)} == {"reference"}
    assert len(await active_matches(sql)) == 3
    assert await broken(engine) == []


async def test_a_match_that_a_person_undid_is_not_made_again(
    sql: Sql, received: Import, match: Match, engine: AsyncEngine
) -> None:
    await add_entries(sql, PAID)
    await received(statement(batch("50", BATCH)), notification(batch("50", BATCH, DETAILS)))
    await match("bank-eur")
    made = await sql.fetchval("SELECT id FROM recon_matches")
    async with transaction(engine) as tx:
        await undo_match(tx, await the_source(sql), made, Operator("ann"), "wrong batch")
    await match("bank-eur")
    assert not await is_matched(sql)
    assert await broken(engine) == []


OTHER = [Detail("10", "INV-1"), Detail("20", "INV-2"), Detail("20", "INV-4")]
ONE_BATCH = [statement(batch("50", BATCH)), notification(batch("50", BATCH, DETAILS))]
TWO = "<Btch><PmtInfId>RUN-8</PmtInfId></Btch>"
LATER = "<BookgDt><Dt>2026-03-03</Dt></BookgDt>"
UNCERTAIN: dict[str, tuple[list[Entry], list[bytes]]] = {
    "a detail has no payment": (PAID[:2], ONE_BATCH),
    "a detail has two payments": ([*PAID, Entry("20", "INV-3")], ONE_BATCH),
    "a payment has another amount": ([*PAID[:2], Entry("19.99", "INV-3")], ONE_BATCH),
    "two lines are the batch": (
        PAID,
        [statement(batch("50", BATCH), batch("50", BATCH), net="100"), ONE_BATCH[1]],
    ),
    "two lines are the batch, by different names": (
        PAID,
        [
            statement(batch("50", BATCH), batch("50", REFERENCE), net="100"),
            notification(batch("50", REFERENCE + BATCH, DETAILS)),
        ],
    ),
    "two batches name a payment": (
        [*PAID, Entry("20", "INV-4")],
        [
            statement(batch("50", BATCH), batch("50", TWO), net="100"),
            notification(batch("50", BATCH, DETAILS), batch("50", TWO, OTHER)),
        ],
    ),
    "two sets of details are the batch's": (
        [*PAID, Entry("20", "INV-4")],
        [*ONE_BATCH, notification(batch("50", BATCH, OTHER), message="camt.052.001.08")],
    ),
    "other lines name a payment": (
        PAID,
        [
            statement(
                batch("50", BATCH),
                *[entry("10", details=Detail("10", "INV-1").xml())] * 2,
                net="70",
            ),
            ONE_BATCH[1],
        ],
    ),
    "another sum": (PAID, [statement(batch("60", BATCH), net="60"), ONE_BATCH[1]]),
    "another day": (PAID, [ONE_BATCH[0], notification(batch("50", BATCH, DETAILS, dates=LATER))]),
    "another batch": (PAID, [ONE_BATCH[0], notification(batch("50", TWO, DETAILS))]),
    "details not booked": (
        PAID,
        [ONE_BATCH[0], notification(batch("50", BATCH, DETAILS, status="<Sts>PDNG</Sts>"))],
    ),
}


@pytest.mark.parametrize(("paid", "files"), UNCERTAIN.values(), ids=UNCERTAIN)
async def test_a_batch_is_never_guessed(
    sql: Sql, received: Import, match: Match, paid: list[Entry], files: list[bytes]
) -> None:
    await add_entries(sql, paid)
    await received(*files)
    await match("bank-eur")
    assert not await is_matched(sql)


async def test_details_of_another_source_are_not_looked_at(
    sql: Sql, received: Import, match: Match, program: Callable[..., Awaitable[Answer]]
) -> None:
    await add_entries(sql, PAID)
    await received(*ONE_BATCH)
    add = "INSERT INTO recon_sources (name, account_identifier, currency, format, channel)"
    other = await sql.fetchval(f"{add} VALUES ('o', $1, 'EUR', 'auto', 'o') RETURNING id", ACCOUNT)
    async with sql.transaction():
        await sql.execute("SET LOCAL session_replication_role = replica")
        await sql.execute("UPDATE statements SET source_id = $1 WHERE kind <> 'statement'", other)
        await sql.execute(
            "UPDATE statement_lines SET source_id = $1 WHERE status = 'ignored'", other
        )
    await match("bank-eur")
    assert not await is_matched(sql)
