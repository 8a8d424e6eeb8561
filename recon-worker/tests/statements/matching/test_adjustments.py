"""Adjustments: one person proposes, another approves, the worker posts two legs and matches."""

import asyncio
import signal
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import transaction
from payments_core.domain.matching import AdjustmentKind
from payments_core.matching import matches
from payments_core.matching.adjustments import ApproverIsProposer, decide, propose
from payments_core.matching.bridge import read_bridge
from payments_core.matching.lines import set_aside
from payments_core.matching.matches import MatchRefused
from recon_worker.statements.matching.adjustments import post_approved
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

from ..conftest import Fork
from .conftest import Match

ANN, BOB, CARL = Operator("ann"), Operator("bob"), Operator("carl")
LEGS = """
SELECT account_id, entry_type, direction, amount::text, account_seq, balance_after::text
FROM ledger_entries WHERE posting_kind = 'adjustment' ORDER BY id"""


class Books:
    """A source with a fee of 1.20 and a payment of 100 that arrived short by 4."""

    def __init__(self, sql: Sql, engine: AsyncEngine) -> None:
        self.sql, self.engine = sql, engine

    async def seed(self, match: Match, channel: str = "default") -> None:
        self.source = await add_source(self.sql, channel=channel)
        (self.entry,) = await add_entries(self.sql, [Entry("100", "A")], channel=channel)
        self.fee, self.short = await add_statement(
            self.sql, self.source, [Line("-1.20"), Line("96", "A")]
        )
        await match()

    async def propose(
        self, line: int, *entries: int, by: Operator = ANN, kind: AdjustmentKind = "fee"
    ) -> UUID:
        async with transaction(self.engine) as tx:
            return await propose(tx, self.source, line, entries, kind, by, "charges")

    async def approve(self, adjustment: UUID, by: Operator = BOB) -> None:
        async with transaction(self.engine) as tx:
            await decide(tx, self.source, adjustment, "approve", by, "")

    async def status(self, adjustment: UUID) -> tuple[str, str | None]:
        query = "SELECT status, failure FROM recon_adjustments WHERE id = $1"
        return tuple(await self.sql.fetchrow(query, adjustment))  # type: ignore[arg-type]


@pytest.fixture
async def books(sql: Sql, engine: AsyncEngine, match: Match) -> Books:
    seeded = Books(sql, engine)
    await seeded.seed(match)
    return seeded


async def test_an_approved_fee_is_posted_and_its_line_matched(books: Books, sql: Sql) -> None:
    adjustment = await books.propose(books.fee)
    await post_approved(books.engine)
    assert await sql.fetch(LEGS) == []
    await books.approve(adjustment)
    await post_approved(books.engine)
    clearing_seq = await sql.fetchval("SELECT seq FROM accounts WHERE account_id LIKE 'sys:cl%'")
    assert [tuple(leg) for leg in await sql.fetch(LEGS)] == [
        ("sys:adjustment:fee", "adjustment", "debit", "1.20", 1, "-1.20"),
        ("sys:clearing:00", "clearing", "credit", "1.20", clearing_seq, "1.20"),
    ]
    assert await books.status(adjustment) == ("posted", None)
    entry = await sql.fetchval("SELECT id FROM ledger_entries WHERE direction = 'credit'")
    assert await active_matches(sql) == {("manual", (books.fee,), (entry,))}
    acts = await sql.fetch("SELECT action, actor, subject FROM operator_actions ORDER BY id")
    assert [tuple(act) for act in acts] == [
        ("propose_adjustment", "ann", f"adjustment {adjustment}"),
        ("approve_adjustment", "bob", f"adjustment {adjustment}"),
    ]


@pytest.mark.parametrize("channel", ["default", "bank-x"])
async def test_a_difference_completes_the_match_of_its_entries(
    sql: Sql, engine: AsyncEngine, match: Match, channel: str
) -> None:
    books = Books(sql, engine)
    await books.seed(match, channel)
    adjustment = await books.propose(books.short, books.entry, kind="exchange_difference")
    await books.approve(adjustment)
    await post_approved(engine)
    legs = [tuple(leg)[:4] for leg in await sql.fetch(LEGS)]
    clearing = "sys:clearing:00" if channel == "default" else f"sys:clearing:{channel}:00"
    assert legs == [
        ("sys:adjustment:exchange_difference", "adjustment", "debit", "4"),
        (clearing, "clearing", "credit", "4"),
    ]
    ((_, lines, entries),) = await active_matches(sql)
    assert (lines, len(entries), entries[0]) == ((books.short,), 2, books.entry)


async def test_the_bridge_leaves_no_residual_before_and_after_an_adjustment(
    books: Books, sql: Sql
) -> None:
    today = datetime.now(UTC).date()
    for line, entries in ((books.fee, ()), (books.short, (books.entry,))):
        await books.approve(await books.propose(line, *entries))
        for _ in range(2):
            async with transaction(books.engine) as tx:
                on_the_day = await read_bridge(tx, books.source, DAY, today)
                now = await read_bridge(tx, books.source, today, today)
            assert on_the_day.residual == now.residual == 0
            await post_approved(books.engine)
    assert (on_the_day.verdict, str(now.books)) == ("reconciled_with_pending", "94.80")
    assert now.unmatched == now.pending == now.missing == now.in_transit == 0


async def test_a_proposer_cannot_approve(books: Books, sql: Sql) -> None:
    adjustment = await books.propose(books.fee)
    for same in (ANN, Operator("Ann")):
        with pytest.raises(ApproverIsProposer):
            await books.approve(adjustment, same)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await sql.execute(
            "UPDATE recon_adjustments SET status = 'approved', decided_by = 'ANN',"
            " decided_at = now()"
        )
    assert refused.value.constraint_name == "approver_is_another_person"


async def test_two_approvers_at_once_make_one_posting(books: Books, sql: Sql) -> None:
    adjustment = await books.propose(books.fee)
    done = await asyncio.gather(
        *(books.approve(adjustment, by) for by in (BOB, CARL)), return_exceptions=True
    )
    assert [type(one) for one in done if one] == [MatchRefused]
    await asyncio.gather(*(post_approved(books.engine) for _ in range(4)))
    assert len(await sql.fetch(LEGS)) == 2
    assert len(await active_matches(sql)) == 1


async def test_two_proposals_of_one_line_at_once_leave_one(books: Books, sql: Sql) -> None:
    done = await asyncio.gather(
        *(books.propose(books.fee, by=by) for by in (ANN, BOB)), return_exceptions=True
    )
    assert [str(one) for one in done if isinstance(one, Exception)] == [
        f"line {books.fee} has an adjustment that waits for a decision"
    ]
    assert await sql.fetchval("SELECT count(*) FROM recon_adjustments") == 1


async def test_an_adjustment_fails_if_its_line_was_taken_meanwhile(books: Books, sql: Sql) -> None:
    adjustment = await books.propose(books.fee)
    async with transaction(books.engine) as tx:
        await set_aside(tx, books.source, books.fee, "explain", CARL, "known")
    await books.approve(adjustment)
    await post_approved(books.engine)
    assert await books.status(adjustment) == (
        *("failed", f"line {books.fee} is not open: it is explained"),
    )
    assert await sql.fetch(LEGS) == []


async def test_a_rejected_line_can_be_proposed_again(books: Books) -> None:
    adjustment = await books.propose(books.fee)
    async with transaction(books.engine) as tx:
        await decide(tx, books.source, adjustment, "reject", ANN, "a mistake")
    assert await books.status(adjustment) == ("rejected", None)
    with pytest.raises(MatchRefused, match="the adjustment was rejected by ann"):
        await books.approve(adjustment)
    await books.propose(books.fee, kind="suspense")


async def test_lines_that_need_no_adjustment_are_refused(books: Books, sql: Sql) -> None:
    (equal,) = await add_statement(sql, books.source, [Line("100", "x")])
    for line, entries, text in (
        (equal, (books.entry,), f"the entries sum to line {equal}: match them instead"),
        (equal, (999,), "entry 999 is not open"),
        (equal, tuple(range(200)), "an adjustment has at most 98 entries"),
    ):
        with pytest.raises(MatchRefused, match=text):
            await books.propose(line, *entries)


async def test_a_wrong_adjustment_is_corrected_by_the_same_steps(books: Books, sql: Sql) -> None:
    """Undo the match, then explain the line by everything: the right entry and a contrary one."""
    adjustment = await books.propose(books.fee)
    await books.approve(adjustment)
    await post_approved(books.engine)
    ((_, _, (wrong,)),) = await active_matches(sql)
    match_id = await sql.fetchval("SELECT id FROM recon_matches WHERE undone_at IS NULL")
    async with transaction(books.engine) as tx:
        await matches.undo_match(tx, books.source, match_id, CARL, "not a fee")
    opened = "SELECT entry_id, amount::text, reference FROM open_entries WHERE amount < 0"
    assert [tuple(row) for row in await sql.fetch(opened)] == [(wrong, "-1.20", adjustment.hex)]
    contrary = await books.propose(books.short, books.entry, wrong)
    await books.approve(contrary)
    await post_approved(books.engine)
    ((_, lines, entries),) = await active_matches(sql)
    assert (lines, set(entries) >= {books.entry, wrong}) == ((books.short,), True)


@pytest.mark.parametrize("point", ["in_adjustment", "after_adjustment"])
async def test_a_killed_posting_is_whole_or_repeated(
    books: Books, sql: Sql, fork: Fork, point: str
) -> None:
    adjustment = await books.propose(books.fee)
    words = ("approve", "bank", str(adjustment), "--reason", "yes", "--actor", "bob")
    status, _ = await fork("reconcile", *words, kill=f"{point} 1")
    assert status == -signal.SIGKILL
    posted = point == "after_adjustment"
    assert await books.status(adjustment) == ("posted" if posted else "approved", None)
    assert len(await sql.fetch(LEGS)) == (2 if posted else 0)
    await post_approved(books.engine)
    assert await books.status(adjustment) == ("posted", None)
    assert len(await sql.fetch(LEGS)) == 2
    assert len(await active_matches(sql)) == 1
