"""Accounts: all of them, and one with its balance over time and statement."""

from urllib.parse import quote

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.domain.payments import is_stored_account_id
from payments_ui.accounts.statement_csv import statement_lines
from payments_ui.accounts.view import AccountPlace, account_views, currencies_of
from payments_ui.api.client import api_client
from payments_ui.live.feed import live_feed
from payments_ui.web.responses import render

PAGE_ROWS = 50

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")


def _place(account_id: str) -> AccountPlace:
    """Return the requested account, currency and position."""
    currency = request.args.get("currency", "").strip().upper()
    return AccountPlace(account_id, currency, request.args.get("cursor", ""))


async def _not_an_account(text: str) -> Response:
    """Return a 404 for a text that is no valid account name."""
    return await render(
        "error.html",
        404,
        code=404,
        title="No such account",
        detail=f"“{text}” is no valid account id.",
        retry=False,
    )


@blueprint.get("")
async def index() -> ResponseReturnValue:
    """List accounts with their balances, by name."""
    prefix = request.args.get("prefix", "").strip()
    cursor = request.args.get("cursor", "")
    position = live_feed().position
    page = None
    if not prefix or is_stored_account_id(prefix):
        page = await api_client().accounts({"prefix": prefix, "cursor": cursor, "limit": PAGE_ROWS})
    return await render("accounts.html", prefix=prefix, cursor=cursor, page=page, position=position)


@blueprint.get("/<account_id>")
async def show(account_id: str) -> ResponseReturnValue:
    """Show the account in one of its currencies."""
    if not is_stored_account_id(account_id):
        return await _not_an_account(account_id)
    place = _place(account_id)
    view = await account_views().get(place)
    return await render(
        "account.html",
        account_id=account_id,
        view=view,
        cursor=place.cursor,
        position=view.position,
    )


@blueprint.get("/<account_id>/statement.csv")
async def statement_csv(account_id: str) -> ResponseReturnValue:
    """Stream the whole statement as CSV."""
    if not is_stored_account_id(account_id):
        return await _not_an_account(account_id)
    client = api_client()
    _, currency = await currencies_of(client, _place(account_id))
    response = Response(
        statement_lines(client, account_id, currency), content_type="text/csv; charset=utf-8"
    )
    response.timeout = None  # The statement may be long; each request to the API is bounded.
    name = quote(f"statement-{account_id}-{currency}.csv", safe="")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return response
