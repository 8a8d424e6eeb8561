"""The caller of a request: its API key's name, scopes and tenant."""

from dataclasses import dataclass

PAYMENTS_WRITE = "payments:write"
PAYMENTS_READ = "payments:read"
LEDGER_READ = "ledger:read"
JOBS_ADMIN = "jobs:admin"
# What each scope allows, in the order in which scopes are listed.
SCOPES = {
    PAYMENTS_WRITE: "Create payments.",
    PAYMENTS_READ: "Read payments and stream their events.",
    LEDGER_READ: "Read balances, statements and ledger entries.",
    JOBS_ADMIN: "Operate: inspect queue, workers and audit; replay and discard dead letters.",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `key_id` is the public part of its API key, if it has one.

    `tenant` is None for a key that sees all tenants.
    """

    key_id: str | None
    name: str
    scopes: frozenset[str]
    tenant: str | None


# The caller with authentication off, and the caller of a public route with it on.
ANONYMOUS = Caller(None, "anonymous", frozenset(SCOPES), None)
UNAUTHENTICATED = Caller(None, "unauthenticated", frozenset(), None)
