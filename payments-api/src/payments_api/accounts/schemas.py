"""Schemas of accounts: balance, statement, currencies."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from payments_api.payments.schemas import Amount, CurrencyCode, Cursor, LedgerEntry, Shape


class StatementEntry(LedgerEntry):
    """A ledger entry with its payment's id, reference, metadata and source."""

    payment_id: UUID
    reference: str | None
    metadata: dict[str, str]
    source: str


class Statement(Shape):
    """A page of an account's ledger entries in a currency, newest first."""

    entries: list[StatementEntry]
    next_cursor: Cursor


class Balance(Shape):
    """An account's balance; an account without entries has 0.00."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"accountId": "acc_42", "balance": "100.00", "currency": "USD"}]
        }
    )

    account_id: str
    balance: Amount
    currency: CurrencyCode
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


class Currencies(Shape):
    """The currencies in which an account has ledger entries."""

    currencies: list[CurrencyCode]
