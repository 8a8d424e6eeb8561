"""/accounts: the list; of one account its balance, statement and currencies."""

from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.accounts.queries import (
    POSITION_SEPARATOR,
    accounts_from,
    balance_at,
    balance_of,
    currencies_of,
    entries_of,
)
from payments_api.auth.caller import LEDGER_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import checked_account_id, shown_account, stored_prefix
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query
from payments_api.payments.queries import entry_json
from payments_api.services import services
from payments_core.db.engine import AnyRow
from payments_core.domain.money import DEFAULT_CURRENCY, amount_text
from payments_core.domain.payments import utc_text

accounts = Blueprint("accounts", __name__, url_prefix="/accounts")


@accounts.get("")
@requires(LEDGER_READ)
async def get_accounts() -> ResponseReturnValue:
    """List the accounts that have ledger entries, by name and currency."""
    query = Query(request.args, "prefix", "limit", "cursor")
    tenant = caller().tenant
    prefix = stored_prefix(query.text("prefix") or "", tenant)
    page = Page(services().cursors, query, "accounts", _place, {"prefix": prefix}, "position")
    async with services().load_read() as tx:
        rows = await accounts_from(tx, prefix, page.fetch_limit, page.before)

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


@accounts.get("/<account_id>/balance")
@requires(LEDGER_READ)
async def get_balance(account_id: str) -> ResponseReturnValue:
    """Retrieve the account's balance in a currency, now or at a point in time."""
    query = Query(request.args, "currency", "at")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    at = query.time("at")
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        if at is None:
            balance = await balance_of(tx, stored, currency)
        else:
            balance, at = await balance_at(tx, stored, currency, at)
    answer = {
        "accountId": account_id,
        "balance": amount_text(balance),
        "currency": currency,
    }
    if at is not None:
        answer["at"] = utc_text(at)
    return answer


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
    """List the account's ledger entries in a currency, newest first."""
    query = Query(request.args, "currency", "limit", "cursor")
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
        rows = await entries_of(tx, stored, currency, page.fetch_limit, page.before)

    def with_payment(row: AnyRow) -> dict[str, Any]:
        return {
            **entry_json(row, tenant),
            "paymentId": str(row.payment_id),
            "reference": row.reference,
            "metadata": row.metadata or {},
            "source": row.source,
        }

    return page.as_json("entries", rows, with_payment)
