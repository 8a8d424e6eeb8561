"""Tenants: stored names carry the tenant as a prefix, which its API keys never see.

An account of the tenant `acme` is stored as `acme~acc_42`, an idempotency key as `acme KEY`. No
client can send either separator in such a name, so no tenant can name another's. Ledger,
worker and auditor know nothing of tenants: docs/decisions/0025-tenants.md.
"""

import re
from dataclasses import replace

from payments_api.http.errors import IdempotencyKeyInvalid, ValidationFailed
from payments_api.http.query_params import Query
from payments_core.domain.payments import (
    ACCOUNT_ID_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    TENANT_SEPARATOR,
    NewPayment,
    is_account_id,
    is_stored_account_id,
)

KEY_SEPARATOR = " "

_VISIBLE = re.compile(r"[!-~]+\Z")


def stored_account(account_id: str, tenant: str | None) -> str:
    """Return the account's id in the database."""
    return account_id if tenant is None else f"{tenant}{TENANT_SEPARATOR}{account_id}"


def shown_account(stored: str, tenant: str | None) -> str:
    """Return the account's id as the tenant knows it; system accounts have one name for all."""
    return stored if tenant is None else stored.removeprefix(f"{tenant}{TENANT_SEPARATOR}")


def stored_key(key: str, tenant: str | None) -> str:
    """Return the idempotency key in the database."""
    return key if tenant is None else f"{tenant}{KEY_SEPARATOR}{key}"


def shown_key(stored: str, tenant: str | None) -> str:
    """Return the idempotency key as the tenant sent it."""
    return stored if tenant is None else stored.removeprefix(f"{tenant}{KEY_SEPARATOR}")


def is_of_tenant(stored: str, tenant: str | None) -> bool:
    """Return whether the tenant may see the account; a key without a tenant sees all."""
    return tenant is None or stored.startswith(f"{tenant}{TENANT_SEPARATOR}")


def stored_payment(payment: NewPayment, tenant: str | None) -> NewPayment:
    """Return the payment under its stored names. Raises ValidationFailed, IdempotencyKeyInvalid.

    The tenant's name takes some of the characters that the columns hold.
    """
    if tenant is None:
        return payment
    account_id = stored_account(payment.account_id, tenant)
    key = stored_key(payment.idempotency_key, tenant)
    if len(account_id) > ACCOUNT_ID_MAX_CHARS:
        longest = ACCOUNT_ID_MAX_CHARS - len(tenant) - 1
        raise ValidationFailed.of("accountId", f"must have at most {longest} characters")
    if len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        longest = IDEMPOTENCY_KEY_MAX_CHARS - len(tenant) - 1
        raise IdempotencyKeyInvalid(f"Send 1 to {longest} characters.")
    return replace(payment, account_id=account_id, idempotency_key=key)


def checked_account_id(value: str, tenant: str | None) -> str:
    """Return the account's stored id. Raises ValidationFailed if the caller cannot name it."""
    valid = is_stored_account_id(value) if tenant is None else is_account_id(value)
    if not valid:
        raise ValidationFailed.of("accountId", "is not an account id")
    return stored_account(value, tenant)


def stored_prefix(prefix: str, tenant: str | None) -> str:
    """Return the stored form of the beginning of account ids. Raises ValidationFailed."""
    valid = is_stored_account_id if tenant is None else is_account_id
    # With a letter at the end, a tenant's whole prefix `acme~` is the beginning of a name too.
    if prefix and not valid(f"{prefix}a"[:ACCOUNT_ID_MAX_CHARS]):
        raise ValidationFailed.of("prefix", "is not the beginning of an account id")
    return stored_account(prefix, tenant)


def idempotency_key_in(query: Query, tenant: str | None) -> str | None:
    """Return the stored form of the idempotency key that a query names, if it does.

    A key without a tenant names a tenant's key as it is stored: `acme KEY`.
    """
    value = query.text("idempotencyKey")
    if value is None:
        return None
    key = value if tenant is not None else value.rpartition(KEY_SEPARATOR)[2]
    if not _VISIBLE.match(key) or len(value) > IDEMPOTENCY_KEY_MAX_CHARS:
        raise ValidationFailed.of("idempotencyKey", "is not an idempotency key")
    return stored_key(value, tenant)


def account_id_in(query: Query, tenant: str | None) -> str | None:
    """Return the stored id of the account that a query names, if it does."""
    value = query.text("accountId")
    return None if value is None else checked_account_id(value, tenant)
