"""/accounts: the list; of one account its balance, statement and currencies."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.accounts.history import POINTS_MAX, balances_since
from payments_api.accounts.queries import (
    POSITION_SEPARATOR,
    accounts_from,
    balance_at,
    balance_of,
    currencies_of,
    entries_of,
    moment_of,
    pending_of,
    totals_of,
)
from payments_api.auth.caller import LEDGER_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import checked_account_id, stored_prefix
from payments_api.http.errors import BalanceNotFinal
from payments_api.http.pagination import ASCENDING, Page
from payments_api.http.query_params import Query
from payments_api.payments.queries import entry_json
from payments_api.services import services
from payments_core.db.engine import AnyRow
from payments_core.domain.money import DEFAULT_CURRENCY, amount_text
from payments_core.domain.payments import utc_text
from payments_core.domain.tenants import shown_account

accounts = Blueprint("accounts", __name__, url_prefix="/accounts")


@accounts.get("")
@requires(LEDGER_READ)
async def get_accounts() -> ResponseReturnValue:
    """List the accounts that have ledger entries, by name and currency."""
    query = Query(request.args, "prefix", "order", "limit", "cursor")
    tenant = caller().tenant
    prefix = stored_prefix(query.text("prefix") or "", tenant)
    page = Page(
        services().cursors, query, "accounts", _place, {"prefix": prefix}, "position", ASCENDING
    )
    async with services().load_read() as tx:
        rows = await accounts_from(tx, prefix, page.fetch_limit, page.walk)

    def shown(row: AnyRow) -> dict[str, Any]:
        return {
            "accountId": shown_account(row.account_id, tenant),
            "currency": row.currency,
            "balance": amount_text(row.balance),
        }

    return page.as_json("accounts", rows, shown)


def _place(position: str) -> tuple[str, str]:
    account_id, _, currency = position.partition(POSITION_SEPARATOR)
    return account_id, currency


@accounts.get("/totals")
@requires(LEDGER_READ)
async def get_totals() -> ResponseReturnValue:
    """Count a list's accounts and sum their balances by currency, if they are not too many."""
    query = Query(request.args, "prefix")
    prefix = stored_prefix(query.text("prefix") or "", caller().tenant)
    async with services().load_read() as tx:
        return await totals_of(tx, prefix)


@accounts.get("/<account_id>/balance")
@requires(LEDGER_READ)
async def get_balance(account_id: str) -> ResponseReturnValue:
    """Retrieve the account's balance in a currency, now or at a point in time."""
    query = Query(request.args, "currency", "at")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    at = query.time("at")
    stored = checked_account_id(account_id, caller().tenant)
    pending = None
    if at is None:
        async with services().load_snapshot() as tx:
            balance, sequence = await balance_of(tx, stored, currency)
            pending = await pending_of(tx, stored, currency)
    else:
        balance, sequence, at = await _balance_at(stored, currency, at)
    answer: dict[str, Any] = {
        "accountId": account_id,
        "balance": amount_text(balance),
        "currency": currency,
        "sequence": sequence,
    }
    if at is None:
        with_decimals = None if pending is None else amount_text(pending + balance * 0)
        answer["pending"] = with_decimals
    else:
        answer["at"] = utc_text(at)
    return answer


async def _balance_at(
    account_id: str, currency: str, at: datetime
) -> tuple[Decimal, int, datetime]:
    """Return a balance that never changes, its last entry, and its time: at most the present.

    Raises BalanceNotFinal while an open posting may still change it.
    """
    async with services().load_read() as tx:
        at, final = await moment_of(tx, at)
        if final:
            return *(await balance_at(tx, account_id, currency, at)), at
    if not await services().open_postings_ended.result():  # No connection is held meanwhile.
        raise BalanceNotFinal
    async with services().load_read() as tx:
        return *(await balance_at(tx, account_id, currency, at)), at


@accounts.get("/<account_id>/balance-history")
@requires(LEDGER_READ)
async def get_history(account_id: str) -> ResponseReturnValue:
    """Retrieve the account's balance over time, by at most `limit` of its entries."""
    query = Query(request.args, "currency", "from", "limit")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    since = query.time("from")
    limit = query.integer("limit", POINTS_MAX, 2, POINTS_MAX)
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        rows = await balances_since(tx, stored, currency, since, limit)
    return {
        "accountId": account_id,
        "currency": currency,
        "entries": rows[-1].account_seq - rows[0].account_seq + 1 if rows else 0,
        "points": [
            {
                "at": utc_text(row.created_at),
                "balance": amount_text(row.balance_after),
                "accountSeq": row.account_seq,
            }
            for row in rows
        ],
    }


@accounts.get("/<account_id>/currencies")
@requires(LEDGER_READ)
async def get_currencies(account_id: str) -> ResponseReturnValue:
    """List the currencies in which the account has ledger entries."""
    Query(request.args)
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        return {"currencies": await currencies_of(tx, stored)}


@accounts.get("/<account_id>/entries")
@requires(LEDGER_READ)
async def get_entries(account_id: str) -> ResponseReturnValue:
    """List the account's ledger entries in a currency, newest first unless `order` is `asc`."""
    query = Query(request.args, "currency", "order", "limit", "cursor")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    tenant = caller().tenant
    stored = checked_account_id(account_id, tenant)
    page = Page(
        services().cursors,
        query,
        "entries",
        int,
        {"accountId": stored, "currency": currency},
        column="account_seq",
    )
    async with services().load_read() as tx:
        rows = await entries_of(tx, stored, currency, page.fetch_limit, page.walk)

    def with_payment(row: AnyRow) -> dict[str, Any]:
        is_adjustment = row.posting_kind == "adjustment"
        return {
            **entry_json(row, tenant),
            "paymentId": None if is_adjustment else str(row.payment_id),
            "adjustmentId": str(row.payment_id) if is_adjustment else None,
            "reversalId": row.reversal_id and str(row.reversal_id),
            "reference": row.reference,
            "metadata": row.metadata or {},
            "source": row.source,
        }

    return page.as_json("entries", rows, with_payment)
