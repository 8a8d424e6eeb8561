"""The caller of a request: its API key's name, scopes and tenant."""

from dataclasses import dataclass

PAYMENTS_WRITE = "payments:write"
PAYMENTS_READ = "payments:read"
PAYMENTS_REVERSE = "payments:reverse"
LEDGER_READ = "ledger:read"
EVENTS_READ = "events:read"
RECON_READ = "recon:read"
RECON_WRITE = "recon:write"
RECON_APPROVE = "recon:approve"
WEBHOOKS_READ = "webhooks:read"
WEBHOOKS_WRITE = "webhooks:write"
JOBS_ADMIN = "jobs:admin"
# What each scope allows, in the order in which scopes are listed.
SCOPES = {
    PAYMENTS_WRITE: "Create payments.",
    PAYMENTS_REVERSE: "Reverse payments.",
    PAYMENTS_READ: "Read payments and stream their events.",
    LEDGER_READ: "Read accounts, balances and ledger entries.",
    EVENTS_READ: "Read the event log.",
    RECON_READ: "Read sources of bank statements, their files, lines, matches, breaks and reports.",
    RECON_WRITE: "Add sources, upload statement files and decide about them; match and undo;"
    " propose adjustments.",
    RECON_APPROVE: "Approve or reject adjustments that another person has proposed.",
    WEBHOOKS_READ: "Read webhook endpoints, their deliveries and the events in them.",
    WEBHOOKS_WRITE: "Manage webhook endpoints, which receive events; resend deliveries.",
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
