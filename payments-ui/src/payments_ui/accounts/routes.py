"""Accounts: all of them, and one with its balance over time and statement."""

import asyncio
from collections.abc import Awaitable

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.domain.payments import is_stored_account_id
from payments_ui.accounts.statement_csv import statement_lines
from payments_ui.accounts.view import SPANS, AccountPlace, account_views, currencies_of
from payments_ui.api.client import api_client
from payments_ui.api.connection import Params
from payments_ui.api.types import AccountPage
from payments_ui.live.feed import live_feed
from payments_ui.web.csv_download import csv_response
from payments_ui.web.paging import page_at
from payments_ui.web.responses import render

PAGE_ROWS = 50

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")


def _place(account_id: str) -> AccountPlace:
    """Return the requested account, currency and position."""
    currency = request.args.get("currency", "").strip().upper()
    span = request.args.get("span", "")
    cursor = request.args.get("cursor", "")
    return AccountPlace(account_id, currency, cursor, span if span in SPANS else "")


async def _not_an_account(text: str) -> Response:
    """Return a 404 for a text that is not a valid account name."""
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
    """List accounts with their balances, by name, and their totals."""
    prefix = request.args.get("prefix", "").strip()
    order = "desc" if request.args.get("order") == "desc" else ""
    position = live_feed().position
    page, cursor, totals = None, "", None

    def read(cursor: str) -> Awaitable[AccountPage]:
        params: Params = {"prefix": prefix, "order": order, "cursor": cursor, "limit": PAGE_ROWS}
        return api_client().accounts(params)

    if not prefix or is_stored_account_id(prefix):
        found, totals = await asyncio.gather(
            page_at(request.args.get("cursor", ""), read), api_client().account_totals(prefix)
        )
        page, cursor = found
    return await render(
        "accounts.html",
        prefix=prefix,
        order=order,
        cursor=cursor,
        page=page,
        totals=totals,
        position=position,
    )


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
        cursor=view.cursor,
        span=place.span,
        spans=SPANS,
        position=view.position,
    )


@blueprint.get("/<account_id>/statement.csv")
async def statement_csv(account_id: str) -> ResponseReturnValue:
    """Stream the whole statement as CSV."""
    if not is_stored_account_id(account_id):
        return await _not_an_account(account_id)
    client = api_client()
    _, currency = await currencies_of(client, _place(account_id))
    lines = statement_lines(client, account_id, currency)
    return csv_response(lines, f"statement-{account_id}-{currency}.csv")
