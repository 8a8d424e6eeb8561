"""An account: its balance, how it came about, and its statement."""

import asyncio
from urllib.parse import quote

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.payments import is_account_id
from payments_ui.charts import balance_chart
from payments_ui.forms import now_text
from payments_ui.services import render, services
from payments_ui.statement_csv import statement_lines

STATEMENT_ROWS = 25
CHART_ENTRIES = 200
DEFAULT_CURRENCY = "USD"

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")


async def _currencies(account_id: str) -> tuple[list[str], str]:
    """The account's currencies, and the one to show."""
    held = await services().client.currencies(account_id)
    wanted = request.args.get("currency", "").strip().upper()
    if wanted:
        return sorted({*held, wanted}), wanted
    return held, DEFAULT_CURRENCY if not held or DEFAULT_CURRENCY in held else held[0]


async def not_an_account(text: str) -> Response:
    """Most often something else that was typed into the search field."""
    return await render(
        "error.html",
        404,
        code=404,
        title="Nothing has this id",
        detail=f"“{text}” is neither a payment's id nor a name that an account can have.",
        retry=False,
    )


@blueprint.get("/<account_id>")
async def show(account_id: str) -> ResponseReturnValue:
    """The account in one of its currencies."""
    if not is_account_id(account_id):
        return await not_an_account(account_id)
    client = services().client
    position = services().feed.position
    held, currency = await _currencies(account_id)
    cursor = request.args.get("cursor", "")
    balance, statement, recent = await asyncio.gather(
        client.balance(account_id, currency),
        client.entries(
            account_id, {"currency": currency, "limit": STATEMENT_ROWS, "cursor": cursor}
        ),
        client.entries(account_id, {"currency": currency, "limit": CHART_ENTRIES}),
    )
    return await render(
        "account.html",
        account_id=account_id,
        currencies=held,
        currency=currency,
        balance=balance["balance"],
        statement=statement,
        entries_total=recent["entries"][0]["accountSeq"] if recent["entries"] else 0,
        chart=balance_chart(recent["entries"], now_text()),
        chart_entries=len(recent["entries"]),
        cursor=cursor,
        position=position,
    )


@blueprint.get("/<account_id>/statement.csv")
async def statement_csv(account_id: str) -> ResponseReturnValue:
    """The whole statement as a file."""
    if not is_account_id(account_id):
        return await not_an_account(account_id)
    _, currency = await _currencies(account_id)
    lines = statement_lines(services().client, account_id, currency)
    response = Response(lines, content_type="text/csv; charset=utf-8")
    response.timeout = None  # As long as the statement; each of the API's answers is bounded.
    name = quote(f"statement-{account_id}-{currency}.csv", safe="")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return response
