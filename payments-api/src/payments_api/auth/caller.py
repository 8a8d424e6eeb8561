"""Who asks: a key's name, what it may do, and the tenant it is confined to."""

from dataclasses import dataclass

PAYMENTS_WRITE = "payments:write"
PAYMENTS_READ = "payments:read"
LEDGER_READ = "ledger:read"
JOBS_ADMIN = "jobs:admin"
# What each allows, as people read of it; the order is the one in which they are listed.
SCOPES = {
    PAYMENTS_WRITE: "Create payments.",
    PAYMENTS_READ: "Read payments, and follow their events.",
    LEDGER_READ: "Read accounts: balances, statements, and a payment's ledger entries.",
    JOBS_ADMIN: "Operate: see queue, workers and auditor, replay and discard dead letters.",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of one request. `key_id` is the public part of its API key, if it has one.

    `tenant` is None for who sees everything.
    """

    key_id: str | None
    name: str
    scopes: frozenset[str]
    tenant: str | None


# Everybody, where keys are not asked for; and nobody in particular, where they are.
ANONYMOUS = Caller(None, "anonymous", frozenset(SCOPES), None)
NOBODY = Caller(None, "nobody", frozenset(), None)
