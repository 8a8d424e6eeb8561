"""The expected ledger, in plain Python: written from the rules, not from the code."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from recon_worker.audit.auditor import audit
from testkit.database.backlog import Sql, Stored
from testkit.database.sealed_ledger import assert_seals_hold

ENTRIES = "SELECT * FROM ledger_entries ORDER BY account_id, currency, account_seq"
RESULTS = "SELECT payment_id, status, discrepancy_amount FROM reconciliation_results"


def expected_result(amount: Decimal) -> str:
    """Return the result that the rules give to a payment of this amount."""
    if amount <= 0:
        return "failed"
    cents = amount - int(amount)
    return "completed_with_discrepancy" if cents == Decimal("0.13") else "completed"


async def assert_ledger_is_of(sql: Sql, stored: Sequence[Stored]) -> None:
    """Check every result, entry and head row against these payments, all of them settled."""
    results = {row["payment_id"]: row["status"] for row in await sql.fetch(RESULTS)}
    assert results == {payment.id: expected_result(payment.amount) for payment in stored}
    completed = {p.id: p for p in stored if results[p.id] != "failed"}

    accounts: dict[tuple[str, str], list[asyncpg.Record]] = defaultdict(list)
    credit_ids, debit_ids = {}, {}
    for entry in await sql.fetch(ENTRIES):
        accounts[entry["account_id"], entry["currency"]].append(entry)
        payment = completed[entry["payment_id"]]
        assert (entry["amount"], entry["currency"]) == (payment.amount, payment.currency)
        if entry["entry_type"] == "payment":
            assert (entry["account_id"], entry["direction"]) == (payment.account_id, "credit")
            credit_ids[payment.id] = entry["id"]
        else:
            assert entry["account_id"].startswith("sys:clearing:")
            assert entry["direction"] == "debit"
            debit_ids[payment.id] = entry["id"]
    assert credit_ids.keys() == debit_ids.keys() == completed.keys()
    assert all(credit_ids[payment_id] < debit_ids[payment_id] for payment_id in completed)

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
