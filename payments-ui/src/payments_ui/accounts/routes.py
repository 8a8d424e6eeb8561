"""An account: its balance, how it came about, and its statement."""

from urllib.parse import quote

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.domain.payments import is_stored_account_id
from payments_ui.accounts.statement_csv import statement_lines
from payments_ui.accounts.view import AccountPlace, account_views, currencies_of
from payments_ui.api.client import api_client
from payments_ui.web.responses import render

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")


def _place(account_id: str) -> AccountPlace:
    """What the address asks for."""
    currency = request.args.get("currency", "").strip().upper()
    return AccountPlace(account_id, currency, request.args.get("cursor", ""))


async def _not_an_account(text: str) -> Response:
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
    """The whole statement as a file."""
    if not is_stored_account_id(account_id):
        return await _not_an_account(account_id)
    client = api_client()
    _, currency = await currencies_of(client, _place(account_id))
    response = Response(
        statement_lines(client, account_id, currency), content_type="text/csv; charset=utf-8"
    )
    response.timeout = None  # As long as the statement; each of the API's answers is bounded.
    name = quote(f"statement-{account_id}-{currency}.csv", safe="")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return response
