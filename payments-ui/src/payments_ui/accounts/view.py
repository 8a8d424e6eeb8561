"""An account's page, read by several requests to the API at once."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from payments_ui.api.client import ApiClient, Params
from payments_ui.api.shared_read import SharedReads
from payments_ui.api.types import Statement
from payments_ui.per_app import PerApp
from payments_ui.web.charts import StepChart, balance_chart
from payments_ui.web.formatting import now_text

STATEMENT_ROWS = 25
CHART_ENTRIES = 200  # The API's limit of one page, and enough for a chart.
DEFAULT_CURRENCY = "USD"


class AccountPlace(NamedTuple):
    """An account, a currency ("" for the account's own) and a position in its statement."""

    account_id: str
    currency: str = ""
    cursor: str = ""


@dataclass(frozen=True)
class AccountView:
    """`position` is that of the live stream before the first read."""

    position: str
    currencies: list[str]
    currency: str
    balance: str
    postings: int
    statement: Statement
    chart: StepChart | None
    chart_entries: int


account_views = PerApp[SharedReads[AccountPlace, AccountView]]("account_views")


async def currencies_of(client: ApiClient, place: AccountPlace) -> tuple[list[str], str]:
    """Return the account's currencies, and the one to show."""
    held = await client.currencies(place.account_id)
    if place.currency:
        return sorted({*held, place.currency}), place.currency
    return held, DEFAULT_CURRENCY if not held or DEFAULT_CURRENCY in held else held[0]


async def read_account(client: ApiClient, position: str, place: AccountPlace) -> AccountView:
    """Read balance, statement and chart in the place's currency."""
    currencies, currency = await currencies_of(client, place)
    account_id = place.account_id
    page: Params = {"currency": currency, "limit": STATEMENT_ROWS, "cursor": place.cursor}
    balance, statement, recent = await asyncio.gather(
        client.balance(account_id, currency),
        client.entries(account_id, page),
        client.entries(account_id, {"currency": currency, "limit": CHART_ENTRIES}),
    )
    entries = recent["entries"]
    # The reads see different moments of a busy account: the headline follows the statement.
    top = (statement if not place.cursor else recent)["entries"][:1]
    return AccountView(
        position=position,
        currencies=currencies,
        currency=currency,
        balance=(top[0]["balanceAfter"] if top else None) or balance["balance"],
        postings=(top[0]["accountSeq"] if top else None) or 0,
        statement=statement,
        chart=balance_chart(entries, now_text()),
        chart_entries=len(entries),
    )
