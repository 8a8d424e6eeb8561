"""Tenants: what is stored of one carries its name, and what it sees does not.

An account of the tenant `acme` is stored as `acme~acc_42`, an idempotency key as `acme KEY`. No
client can send either separator in such a name, so neither can reach into another's. Ledger,
worker and auditor know nothing of it: docs/decisions/0025-tenants.md.
"""

from dataclasses import replace

from payments_api.http.errors import IdempotencyKeyInvalid, ValidationFailed
from payments_core.domain.payments import (
    ACCOUNT_ID_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    TENANT_SEPARATOR,
    NewPayment,
)

KEY_SEPARATOR = " "


def stored_account(account_id: str, tenant: str | None) -> str:
    """The account's id in the database."""
    return account_id if tenant is None else f"{tenant}{TENANT_SEPARATOR}{account_id}"


def shown_account(stored: str, tenant: str | None) -> str:
    """The account's id as the tenant knows it; the system's own have one name for everybody."""
    return stored if tenant is None else stored.removeprefix(f"{tenant}{TENANT_SEPARATOR}")


def shown_key(stored: str, tenant: str | None) -> str:
    """The idempotency key as the tenant sent it."""
    return stored if tenant is None else stored.removeprefix(f"{tenant}{KEY_SEPARATOR}")


def is_of_tenant(stored: str, tenant: str | None) -> bool:
    """Whether the account may be seen; without a tenant every one may."""
    return tenant is None or stored.startswith(f"{tenant}{TENANT_SEPARATOR}")


def stored_payment(order: NewPayment, tenant: str | None) -> NewPayment:
    """The order as it is stored. Raises ValidationFailed, IdempotencyKeyInvalid.

    The columns hold as many characters as ever: the tenant's name takes some of them.
    """
    if tenant is None:
        return order
    account_id = stored_account(order.account_id, tenant)
    key = f"{tenant}{KEY_SEPARATOR}{order.idempotency_key}"
    if len(account_id) > ACCOUNT_ID_MAX_CHARS:
        longest = ACCOUNT_ID_MAX_CHARS - len(tenant) - 1
        raise ValidationFailed.of("accountId", f"must have {longest} characters at most")
    if len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        longest = IDEMPOTENCY_KEY_MAX_CHARS - len(tenant) - 1
        raise IdempotencyKeyInvalid(f"Send 1 to {longest} characters.")
    return replace(order, account_id=account_id, idempotency_key=key)
