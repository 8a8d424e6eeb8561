"""Tenants: stored names carry the tenant as a prefix, which its API keys never see.

An account of the tenant `acme` is stored as `acme~acc_42`, an idempotency key as `acme KEY`. No
client can send either separator in such a name, so no tenant can name another's. Ledger,
worker and auditor know nothing of tenants: docs/decisions/0025-tenants.md.
"""

from dataclasses import replace

from payments_api.http.errors import IdempotencyKeyInvalid, ValidationFailed
from payments_api.http.query_params import Query
from payments_core.domain.payments import (
    ACCOUNT_ID_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    NewPayment,
    is_account_id,
    is_idempotency_key,
    is_stored_account_id,
)
from payments_core.domain.tenants import KEY_SEPARATOR, stored_account, stored_key


def stored_payment(payment: NewPayment, tenant: str | None) -> NewPayment:
    """Return the payment under its stored names. Raises ValidationFailed, IdempotencyKeyInvalid.

    The tenant's name takes some of the characters that the columns hold.
    """
    if tenant is None:
        return payment
    account_id = stored_account(payment.account_id, tenant)
    if len(account_id) > ACCOUNT_ID_MAX_CHARS:
        longest = ACCOUNT_ID_MAX_CHARS - len(tenant) - 1
        raise ValidationFailed.of("accountId", f"must have at most {longest} characters")
    key = stored_idempotency_key(payment.idempotency_key, tenant)
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


def stored_idempotency_key(key: str, tenant: str | None) -> str:
    """Return a checked key's stored form. Raises IdempotencyKeyInvalid if that is too long."""
    stored = stored_key(key, tenant)
    if len(stored) > IDEMPOTENCY_KEY_MAX_CHARS:
        longest = IDEMPOTENCY_KEY_MAX_CHARS - (len(stored) - len(key))
        raise IdempotencyKeyInvalid(f"Send 1 to {longest} characters.")
    return stored


def idempotency_key_in(query: Query, tenant: str | None) -> str | None:
    """Return the stored form of the idempotency key that a query names, if it does.

    A key without a tenant names a tenant's key as it is stored: `acme KEY`.
    """
    value = query.text("idempotencyKey")
    if value is None:
        return None
    key = value if tenant is not None else value.rpartition(KEY_SEPARATOR)[2]
    if not is_idempotency_key(key) or len(value) > IDEMPOTENCY_KEY_MAX_CHARS:
        raise ValidationFailed.of("idempotencyKey", "is not an idempotency key")
    return stored_key(value, tenant)


def account_id_in(query: Query, tenant: str | None) -> str | None:
    """Return the stored id of the account that a query names, if it does."""
    value = query.text("accountId")
    return None if value is None else checked_account_id(value, tenant)
