"""/accounts/{accountId}: balance, statement, currencies."""

from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.accounts.queries import balance_at, balance_of, currencies_of, entries_of
from payments_api.auth.caller import LEDGER_READ
from payments_api.auth.middleware import caller, requires
from payments_api.auth.tenants import checked_account_id
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query
from payments_api.payments.queries import entry_json
from payments_api.services import services
from payments_core.db.engine import AnyRow
from payments_core.domain.money import DEFAULT_CURRENCY, amount_text
from payments_core.domain.payments import utc_text

accounts = Blueprint("accounts", __name__, url_prefix="/accounts/<account_id>")


@accounts.get("/balance")
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


@accounts.get("/currencies")
@requires(LEDGER_READ)
async def get_currencies(account_id: str) -> ResponseReturnValue:
    """List the currencies in which the account has ledger entries."""
    Query(request.args)
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        return {"currencies": await currencies_of(tx, stored)}


@accounts.get("/entries")
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
        return {**entry_json(row, tenant), "paymentId": str(row.payment_id)}

    return page.as_json("entries", rows, with_payment)
