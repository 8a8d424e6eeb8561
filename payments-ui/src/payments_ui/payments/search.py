"""Search: payments by id, idempotency key or reference, and accounts by the start of their name."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from payments_core.domain.payments import is_reference, is_stored_account_id
from payments_ui.api.client import ApiClient, ApiProblem
from payments_ui.api.types import Account, Payment
from payments_ui.payments.forms import is_uuid

RESULTS_MAX = 25  # Of each kind.
# The list shows the last eight characters of an id, which no index serves: among the newest
# payments, which an operator has just seen there, they are looked up all the same.
SHORT_ID_CHARS = 8
NEWEST_MAX = 200

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """The results, newest payment first, accounts by name."""

    payments: list[Payment]
    accounts: list[Account]

    @property
    def address(self) -> str | None:
        """The page to show at once: that of the only result."""
        names = {account["accountId"] for account in self.accounts}
        if len(self.payments) == 1 and not names:
            return f"/payments/{self.payments[0]['id']}"
        if len(names) == 1 and not self.payments:
            return f"/accounts/{quote(names.pop(), safe='')}"
        return None


async def find(client: ApiClient, text: str) -> Found:
    """Return all that the text names. Raises ApiUnavailable."""
    if is_uuid(text):
        detail = await _or_none(client.payment(text.lower()))
        return Found([] if detail is None else [detail], [])
    by_key, by_reference, by_short_id, accounts = await asyncio.gather(
        _payments(client, {"idempotencyKey": text}) if _may_be_key(text) else _none(),
        _payments(client, {"reference": text}) if is_reference(text) else _none(),
        _by_short_id(client, text.lower()) if _may_be_short_id(text) else _none(),
        _accounts(client, text) if is_stored_account_id(text) else _none(),
    )
    payments = {each["id"]: each for each in (*by_short_id, *by_key, *by_reference)}
    newest_first = sorted(payments.values(), key=lambda each: each["id"], reverse=True)
    return Found(newest_first, accounts)


def _may_be_key(text: str) -> bool:
    return len(text) <= 255 and all("!" <= char <= "~" for char in text)


def _may_be_short_id(text: str) -> bool:
    return len(text) == SHORT_ID_CHARS and all(char in "0123456789abcdefABCDEF" for char in text)


async def _payments(client: ApiClient, filters: dict[str, str]) -> list[Payment]:
    page = await _or_none(client.payments({**filters, "limit": RESULTS_MAX}))
    return [] if page is None else page["payments"]


async def _by_short_id(client: ApiClient, short_id: str) -> list[Payment]:
    page = await _or_none(client.payments({"limit": NEWEST_MAX}))
    return [each for each in page["payments"] if each["id"].endswith(short_id)] if page else []


async def _accounts(client: ApiClient, prefix: str) -> list[Account]:
    page = await _or_none(client.accounts({"prefix": prefix, "limit": RESULTS_MAX}))
    return [] if page is None else page["accounts"]


async def _or_none(answer: Coroutine[Any, Any, T]) -> T | None:
    """Return the answer, or None if the API knows no such thing or refuses the text."""
    try:
        return await answer
    except ApiProblem:
        return None


async def _none() -> list[Any]:
    return []
