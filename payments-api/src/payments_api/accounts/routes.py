"""/accounts/{accountId}: balance, statement, currencies."""

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.accounts.queries import balance_of, currencies_of, entries_of
from payments_api.auth.middleware import caller
from payments_api.http.query_params import Query, checked_account_id
from payments_api.payments.parsing import DEFAULT_CURRENCY
from payments_api.payments.queries import entry_json
from payments_api.services import services
from payments_core.domain.money import amount_text
from payments_core.domain.payments import utc_text

accounts = Blueprint("accounts", __name__, url_prefix="/accounts/<account_id>")


@accounts.get("/balance")
async def get_balance(account_id: str) -> ResponseReturnValue:
    """What the account holds in a currency, now or `at` a moment."""
    query = Query(request.args, "currency", "at")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    at = query.time("at")
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        balance = await balance_of(tx, stored, currency, at)
    answer = {
        "accountId": account_id,
        "balance": amount_text(balance, currency),
        "currency": currency,
    }
    if at is not None:
        answer["at"] = utc_text(at)
    return answer


@accounts.get("/currencies")
async def get_currencies(account_id: str) -> ResponseReturnValue:
    """The currencies in which the account has entries."""
    Query(request.args)
    stored = checked_account_id(account_id, caller().tenant)
    async with services().load_read() as tx:
        return {"currencies": await currencies_of(tx, stored)}


@accounts.get("/entries")
async def get_entries(account_id: str) -> ResponseReturnValue:
    """A page of the account's statement, newest first."""
    query = Query(request.args, "currency", "limit", "cursor")
    currency = query.currency(DEFAULT_CURRENCY) or DEFAULT_CURRENCY
    limit = query.limit()
    tenant = caller().tenant
    stored = checked_account_id(account_id, tenant)
    scope = ["entries", stored, currency]
    position = services().cursors.read(scope, query.text("cursor"))
    before = None if position is None else int(position)
    async with services().load_read() as tx:
        rows = await entries_of(tx, stored, currency, limit + 1, before)
    page = rows[:limit]
    more = len(rows) > limit
    return {
        "entries": [{**entry_json(row, tenant), "paymentId": str(row.payment_id)} for row in page],
        "nextCursor": services().cursors.sign(scope, str(page[-1].account_seq)) if more else None,
    }
