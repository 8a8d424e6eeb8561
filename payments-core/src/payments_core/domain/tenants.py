"""Tenants' names in the database: a tenant's account is stored as tenant~account.

Its idempotency key is stored as "tenant key". No client can write the separators in such a name, so
no tenant can name another's.
"""

from payments_core.domain.payments import TENANT_SEPARATOR

KEY_SEPARATOR = " "


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
