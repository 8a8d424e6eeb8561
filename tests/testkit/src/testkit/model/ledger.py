"""The expected ledger, in plain Python: written from the rules, not from the code."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.auditor import audit
from testkit.database.backlog import Stored
from testkit.database.ledgers.sealed import assert_seals_hold
from testkit.database.reversals import StoredReversal
from testkit.database.sql import Sql

ENTRIES = "SELECT * FROM ledger_entries ORDER BY account_id, currency, account_seq"
RESULTS = "SELECT payment_id, reversal_id, status FROM reconciliation_results"


def expected_result(amount: Decimal) -> str:
    """Return the result that the rules give to a payment of this amount."""
    if amount <= 0:
        return "failed"
    cents = amount - int(amount)
    return "completed_with_discrepancy" if cents == Decimal("0.13") else "completed"


async def assert_ledger_is_of(
    sql: Sql, stored: Sequence[Stored], reversals: Sequence[StoredReversal] = ()
) -> None:
    """Check every result, entry and head row against these payments and reversals, all settled."""
    rows = await sql.fetch(RESULTS)
    results = {row["payment_id"]: row["status"] for row in rows if row["payment_id"]}
    assert results == {payment.id: expected_result(payment.amount) for payment in stored}
    reversed_ = {row["reversal_id"]: row["status"] for row in rows if row["reversal_id"]}
    assert reversed_ == dict.fromkeys((reversal.id for reversal in reversals), "completed")
    completed = {p.id: p for p in stored if results[p.id] != "failed"}
    postings: dict[tuple[UUID, UUID | None], Decimal] = {}
    postings |= {(p.id, None): p.amount for p in completed.values()}
    postings |= {(r.payment_id, r.id): -r.amount for r in reversals}

    accounts: dict[tuple[str, str], list[asyncpg.Record]] = defaultdict(list)
    own_ids, clearing_ids = {}, {}
    for entry in await sql.fetch(ENTRIES):
        accounts[entry["account_id"], entry["currency"]].append(entry)
        posting = entry["payment_id"], entry["reversal_id"]
        payment, amount = completed[entry["payment_id"]], postings[posting]
        assert (entry["amount"], entry["currency"]) == (abs(amount), payment.currency)
        directions = ("credit", "debit") if amount > 0 else ("debit", "credit")
        if entry["entry_type"] == "clearing":
            assert entry["account_id"].startswith("sys:clearing:")
            assert entry["direction"] == directions[1]
            clearing_ids[posting] = entry["id"]
        else:
            assert entry["entry_type"] == ("payment" if amount > 0 else "reversal")
            assert (entry["account_id"], entry["direction"]) == (payment.account_id, directions[0])
            own_ids[posting] = entry["id"]
    assert own_ids.keys() == clearing_ids.keys() == postings.keys()
    assert all(own_ids[posting] < clearing_ids[posting] for posting in postings)

    heads = await sql.fetch("SELECT * FROM accounts")
    assert {(head["account_id"], head["currency"]) for head in heads} == accounts.keys()
    for head in heads:
        _assert_adds_up(accounts[head["account_id"], head["currency"]], head)


async def assert_audit_is_clean(engine: AsyncEngine) -> None:
    """Check every invariant from the first row on, and every seal."""
    findings = await audit(engine, "full")
    assert findings is not None
    assert [f"{f.invariant.name}: {f.offenders}" for f in findings if f.offending] == []
    await assert_seals_hold(engine)


def _assert_adds_up(entries: Sequence[asyncpg.Record], head: asyncpg.Record) -> None:
    balance = paid_in = paid_out = Decimal(0)
    for seq, entry in enumerate(entries, start=1):
        paid_in += entry["amount"] if entry["direction"] == "credit" else 0
        paid_out += entry["amount"] if entry["direction"] == "debit" else 0
        balance = paid_in - paid_out
        assert (entry["account_seq"], entry["balance_after"]) == (seq, balance)
    found = (head["seq"], head["balance"], head["credits"], head["debits"])
    assert found == (len(entries), balance, paid_in, paid_out)
