"""The database keeps adjustments: two people, one way of statuses, and postings that they bear."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from payments_api.migrate import migrate
from testkit.database.guarded_rows import insert
from testkit.database.sql import Sql

from .refusals import assert_refused, constraints_of
from .statement_rows import insert_source

ID = "00000000-0000-0000-0000-0000000000d1"
OTHER = "00000000-0000-0000-0000-0000000000d2"
APPROVE = "status = 'approved', decided_by = 'bob', decided_at = now()"
UP = ("credit", "debit")
POSTED = f"{APPROVE.replace('approved', 'posted')}, settled_at = now()"


def _adjustment(**columns: str) -> str:
    values = {
        "id": f"'{OTHER}'",
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "line_id": "2",
        "kind": "'fee'",
        "amount": "-1.20",
        "reason": "'a fee'",
        "proposed_by": "'ann'",
    }
    return insert("recon_adjustments", values, columns)


def _update(change: str) -> str:
    return f"UPDATE recon_adjustments SET {change}"


def _posting(
    *,
    account: str = "sys:adjustment:fee",
    amount: str = "1.20",
    currency: str = "EUR",
    kinds: tuple[str, str] = ("adjustment", "adjustment"),
    sides: tuple[str, str] = ("debit", "credit"),
) -> str:
    legs = ", ".join(
        f"('{ID}', '{kind}', '{name}', '{currency}', '{entry}', '{side}', {amount}, 1, 0)"
        for kind, name, entry, side in zip(
            kinds, (account, "sys:clearing:00"), ("adjustment", "clearing"), sides, strict=True
        )
    )
    return (
        "INSERT INTO ledger_entries (payment_id, posting_kind, account_id, currency, entry_type,"
        f" direction, amount, account_seq, balance_after) VALUES {legs}"
    )


@pytest.fixture
async def proposed(sql: Sql) -> Sql:
    """A source with a proposed adjustment of -1.20."""
    await sql.execute(insert_source(name="'bank'"))
    await sql.execute(_adjustment(id=f"'{ID}'", line_id="1"))
    return sql


CONSTRAINTS = {
    "recon_adjustments_pkey": _adjustment(id=f"'{ID}'"),
    "recon_adjustments_source_id_fkey": _adjustment(source_id="0"),
    "adjustment_kind_known": _adjustment(kind="'gift'"),
    "adjustment_has_an_amount": _adjustment(amount="0"),
    "adjustment_amount_needs_no_rounding": _adjustment(amount="0.00001"),
    "adjustment_has_at_most_98_entries": _adjustment(
        entry_ids="array_fill(1, ARRAY[99])::bigint[]"
    ),
    "adjustment_has_a_reason": _adjustment(reason="''"),
    "adjustment_status_known": _adjustment(status="'done'"),
    "adjustment_people_are_named": _adjustment(proposed_by="''"),
    "approver_is_another_person": _update(APPROVE.replace("bob", "Ann")),
    "decided_adjustment_has_an_actor": _update("status = 'rejected'"),
    "settled_adjustment_has_a_time": _update("settled_at = now()"),
}
POST = f"{_update(APPROVE)}; {_update('status = $$posted$$, settled_at = now()')}"
ALSO_REFUSED = [
    ("adjustment_has_an_amount", _adjustment(amount="'NaN'")),
    ("approver_is_another_person", _adjustment(
        status="'posted'", decided_by="'ann'", decided_at="now()", settled_at="now()"
    )),
    ("recon_adjustments_of_a_line_once", _adjustment(line_id="1")),
    ("recon_adjustments_of_a_line_once", f"{_update(APPROVE)}; {_adjustment(line_id='1')}"),
    ("postings_are_of_adjustments", _posting()),
    ("postings_are_of_adjustments", f"{_update(APPROVE)}; {_posting()}"),
    ("postings_are_of_adjustments", f"{POST}; {_posting(amount='1.21')}"),
    ("postings_are_of_adjustments", f"{POST}; {_posting(account='sys:adjustment:suspense')}"),
    ("postings_are_of_adjustments", f"{POST}; {_posting(currency='USD')}"),
    ("postings_are_of_adjustments", f"{POST}; {_posting(sides=('credit', 'debit'))}"),
    ("legs_are_of_their_kind", _posting(account="acc_1")),
    ("postings_balance", f"{POST}; {_posting(sides=('debit', 'debit'))}"),
    ("postings_balance", f"{POST}; {_posting(kinds=('adjustment', 'payment'), sides=UP)}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statement"), [*CONSTRAINTS.items(), *ALSO_REFUSED])
async def test_each_constraint_refuses_by_its_name(
    proposed: Sql, name: str, statement: str
) -> None:
    await assert_refused(proposed, statement, name)


async def test_every_constraint_of_the_table_is_in_the_list_above(sql: Sql) -> None:
    assert await constraints_of(sql, "^recon_adjustments$") == set(CONSTRAINTS)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM recon_adjustments",
        "TRUNCATE recon_adjustments",
        _update("amount = -2"),
        _update("proposed_by = 'eve'"),
        _update(POSTED),  # Without an approval before.
        f"{_update(APPROVE)}; {_update('status = $$rejected$$')}",
        f"{_update(APPROVE)}; {_update('decided_by = $$eve$$')}",
        f"{_update(APPROVE.replace('approved', 'rejected'))}; {_update('decided_by = $$eve$$')}",
    ],
)
async def test_what_two_people_agreed_on_never_changes(proposed: Sql, change: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await proposed.execute(change)


@pytest.fixture
async def as_role(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Sql]:
    connection = await asyncpg.connect(database_url.replace("postgres@", f"{request.param}@"))
    await connection.execute("SET default_transaction_read_only = off")
    yield connection
    await connection.close()


@pytest.mark.parametrize("as_role", ["payments_readonly", "payments_backup"], indirect=True)
@pytest.mark.parametrize("statement", [_adjustment(), _update(APPROVE)])
async def test_readers_neither_propose_nor_approve(
    proposed: Sql, as_role: Sql, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role.execute(statement)


@pytest.mark.parametrize("as_role", ["payments_api"], indirect=True)
async def test_the_api_approves_and_cannot_post(proposed: Sql, as_role: Sql) -> None:
    await as_role.execute(_update(APPROVE))
    for statement in (_update("status = 'posted', settled_at = now()"), _posting()):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_role.execute(statement)
    with pytest.raises(asyncpg.CheckViolationError, match="settled_adjustment_has_a_time"):
        await as_role.execute(_update("status = 'posted'"))


async def test_adjustments_prevent_a_downgrade(empty_url: str) -> None:
    await migrate(empty_url, "0025")
    sql = await asyncpg.connect(empty_url)
    try:
        await migrate(empty_url, "0024")
        await migrate(empty_url, "0025")
        await sql.execute(insert_source(name="'bank'"))
        await sql.execute(_adjustment())
        with pytest.raises(Exception, match="there are adjustments, which revision 0024"):
            await migrate(empty_url, "0024")
    finally:
        await sql.close()
