"""Search: payments by id, key, reference, description or amount, and accounts by prefix.

Ids, keys, references and accounts are found at any age; descriptions and amounts only among the
newest payments, because no index serves them: docs/decisions/0034-filters-without-an-index.md.
"""

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from payments_core.domain.ids import uuid_or_none
from payments_core.domain.payments import (
    DESCRIPTION_MAX_CHARS,
    is_idempotency_key,
    is_reference,
    is_stored_account_id,
)
from payments_ui.api.client import ApiClient
from payments_ui.api.errors import ApiProblem
from payments_ui.api.types import Account, Payment, PaymentPage
from payments_ui.payments.amounts import AmbiguousAmount
from payments_ui.payments.filters import Filters

RESULTS_MAX = 25  # For each kind of result.
# An id in the short form that lists show, with or without its last part.
_SHORT_ID = re.compile(r"([0-9a-f]{8}[0-9a-f-]*)(?:(?:…|\.\.\.)([0-9a-f]{1,12}))?")
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")

T = TypeVar("T")


@dataclass(frozen=True)
class Recent:
    """Payments found among the newest, by one filter of the list; `page` is the list's first."""

    filters: Filters
    page: PaymentPage


@dataclass(frozen=True)
class Found:
    """The results, newest payment first, accounts by name."""

    payments: list[Payment]
    accounts: list[Account]
    recent: tuple[Recent, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether nothing was found."""
        return not (self.payments or self.accounts or any(r.page["payments"] for r in self.recent))

    @property
    def address(self) -> str | None:
        """The page of the single payment with this id or key, or of the only result; else None."""
        names = {account["accountId"] for account in self.accounts}
        if len(self.payments) == 1 and not names:
            return f"/payments/{self.payments[0]['id']}"
        if len(names) == 1 and not any(each.page["payments"] for each in self.recent):
            return None if self.payments else f"/accounts/{quote(names.pop(), safe='')}"
        return None


async def find(client: ApiClient, text: str) -> Found:
    """Return the payments and accounts that match the text. Raises ApiUnavailable."""
    if uuid_or_none(text):
        detail = await _or_none(client.payment(text.lower()))
        return Found([] if detail is None else [detail], [])
    by_key, by_reference, by_short_id, accounts, *recent = await asyncio.gather(
        _payments(client, {"idempotencyKey": text}) if is_idempotency_key(text) else _none(),
        _payments(client, {"reference": text}) if is_reference(text) else _none(),
        _payments(client, _id_parts(text)) if _id_parts(text) else _none(),
        _accounts(client, text) if is_stored_account_id(text) else _none(),
        *(_recent(client, filters) for filters in _filters_of(text)),
    )
    payments = {each["id"]: each for each in (*by_short_id, *by_key, *by_reference)}
    newest_first = sorted(payments.values(), key=lambda each: each["id"], reverse=True)
    return Found(newest_first, accounts, tuple(each for each in recent if each is not None))


def _filters_of(text: str) -> list[Filters]:
    """Return the filters with which the list of the newest payments may find the text."""
    filters = [Filters(description=text)] if len(text) <= DESCRIPTION_MAX_CHARS else []
    try:
        amount = Filters(amount=text).plain_amount
    except AmbiguousAmount:
        return filters
    return [*filters, Filters(amount=amount)] if _AMOUNT.fullmatch(amount) else filters


def _id_parts(text: str) -> dict[str, str]:
    matched = _SHORT_ID.fullmatch(text.lower())
    if matched is None:
        return {}
    prefix, suffix = matched.groups()
    return {"idPrefix": prefix, **({"idSuffix": suffix} if suffix else {})}


async def _recent(client: ApiClient, filters: Filters) -> Recent | None:
    page = await _or_none(client.payments({**filters.api_params(), "limit": RESULTS_MAX}))
    return None if page is None else Recent(filters, page)


async def _payments(client: ApiClient, filters: dict[str, str]) -> list[Payment]:
    page = await _or_none(client.payments({**filters, "limit": RESULTS_MAX}))
    return [] if page is None else page["payments"]


async def _accounts(client: ApiClient, prefix: str) -> list[Account]:
    page = await _or_none(client.accounts({"prefix": prefix, "limit": RESULTS_MAX}))
    return [] if page is None else page["accounts"]


async def _or_none(answer: Coroutine[Any, Any, T]) -> T | None:
    """Return the answer, or None if the API finds nothing or rejects the text."""
    try:
        return await answer
    except ApiProblem:
        return None


async def _none() -> list[Any]:
    return []
