"""Schemas of accounts: balance, statement, currencies."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from payments_api.http.schemas import Amount, CurrencyCode, Cursor, PreviousCursor, Shape
from payments_api.payments.schemas import LedgerEntry


class StatementEntry(LedgerEntry):
    """A ledger entry with its payment's id, reference, metadata and source.

    An adjustment's entry has no payment.
    """

    payment_id: UUID | None
    adjustment_id: UUID | None
    reversal_id: UUID | None
    reference: str | None
    metadata: dict[str, str]
    source: str | None


class Statement(Shape):
    """A page of an account's ledger entries in a currency."""

    entries: list[StatementEntry]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Balance(Shape):
    """An account's balance, which reversals may take below zero; without entries it is 0.00.

    `sequence` is the number of the last entry that it includes, 0 without one. `pending` is the
    sum of the account's open payments, less its open reversals; null while more than 2,000 jobs
    of the system are unfinished, absent with `at`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accountId": "acc_42",
                    "balance": "100.00",
                    "currency": "USD",
                    "sequence": 7,
                    "pending": "0.00",
                }
            ]
        }
    )

    account_id: str
    balance: Amount
    currency: CurrencyCode
    sequence: int
    pending: Amount | None = None
    at: datetime | None = None


class Account(Shape):
    """An account in one of its currencies, with its balance."""

    account_id: str
    currency: CurrencyCode
    balance: Amount


class AccountPage(Shape):
    """A page of accounts, by name and currency."""

    accounts: list[Account]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class AccountTotal(Shape):
    """Number of the accounts in one currency, and the sum of their balances."""

    currency: CurrencyCode
    accounts: int
    balance: Amount


class AccountTotals(Shape):
    """Totals of a list of accounts by currency; none, and not `complete`, if there are too many.

    The ledger's own accounts (sys:) are left out unless the prefix selects them: with them each sum
    is zero.
    """

    totals: list[AccountTotal]
    examined_max: int
    complete: bool


class BalancePoint(Shape):
    """An account's balance after one of its ledger entries."""

    at: datetime
    balance: Amount
    account_seq: int


class BalanceHistory(Shape):
    """An account's balance over time, oldest first, by at most `limit` of its ledger entries.

    The first is the last entry before the range, if there is one; the last is the newest entry. Of
    more entries, every n-th is taken.
    """

    account_id: str
    currency: CurrencyCode
    entries: int
    points: list[BalancePoint]


class Currencies(Shape):
    """The currencies in which an account has ledger entries."""

    currencies: list[CurrencyCode]
