"""An account's page, read by several requests to the API at once."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from payments_core.domain.money import DEFAULT_CURRENCY
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import FAILED
from payments_ui.api.client import ApiClient
from payments_ui.api.connection import Params
from payments_ui.api.shared_read import SharedReads
from payments_ui.api.types import BalanceHistory, Payment, Statement
from payments_ui.per_app import PerApp
from payments_ui.web.charts import StepChart, balance_chart
from payments_ui.web.paging import page_at

STATEMENT_ROWS = 25
FAILED_ROWS = 5
# The chart's ranges; "" is the whole history.
SPANS = {
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
    "": ("All", None),
}


class AccountPlace(NamedTuple):
    """An account, a currency ("" for the account's own), a position in its statement, a range."""

    account_id: str
    currency: str = ""
    cursor: str = ""
    span: str = ""  # One of SPANS.


@dataclass(frozen=True)
class AccountView:
    """The content of the page. `position` is the live stream's, taken before the first read."""

    position: str
    currencies: list[str]
    currency: str
    balance: str
    postings: int
    statement: Statement
    cursor: str
    chart: StepChart | None
    history: BalanceHistory
    failed: list[Payment]


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

    def read(cursor: str) -> Awaitable[Statement]:
        page: Params = {"currency": currency, "limit": STATEMENT_ROWS, "cursor": cursor}
        return client.entries(account_id, page)

    failed_ones: Params = {"accountId": account_id, "currency": currency, "status": FAILED}
    begin = _begin_of(place.span)
    balance, (statement, cursor), history, failed = await asyncio.gather(
        client.balance(account_id, currency),
        page_at(place.cursor, read),
        client.balance_history(account_id, {"currency": currency, "from": begin}),
        client.payments({**failed_ones, "limit": FAILED_ROWS}),
    )
    # The reads see different moments of a busy account: the headline follows the statement.
    top = statement["entries"][0] if statement["entries"] and not cursor else None
    last = history["points"][-1] if history["points"] else None
    return AccountView(
        position=position,
        currencies=currencies,
        currency=currency,
        balance=(top and top["balanceAfter"]) or (last or balance)["balance"],
        postings=(top and top["accountSeq"]) or (last["accountSeq"] if last else 0),
        statement=statement,
        cursor=cursor,
        chart=balance_chart(history["points"], begin, utc_text(datetime.now(UTC))),
        history=history,
        failed=failed["payments"],
    )


def _begin_of(span: str) -> str | None:
    """Return the beginning of a range that ends now, or None for the whole history."""
    length = SPANS[span][1]
    return None if length is None else utc_text(datetime.now(UTC) - length)
