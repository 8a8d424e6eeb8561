"""The tables of the schema. The Alembic revisions hold triggers, roles and grants."""

from payments_core.db.tables.audit import (
    audit_findings,
    audit_progress,
    ledger_seals,
    seal_verification,
)
from payments_core.db.tables.auth import api_keys
from payments_core.db.tables.ledger import accounts, ledger_entries, reconciliation_results
from payments_core.db.tables.operations import (
    THROUGHPUT_BUCKET_SECONDS,
    operator_actions,
    worker_throughput,
    workers,
)
from payments_core.db.tables.payments import has_tenant, payments, tenant_of
from payments_core.db.tables.queue import recon_jobs
from payments_core.db.tables.schema import constant, metadata, one_of

__all__ = [
    "THROUGHPUT_BUCKET_SECONDS",
    "accounts",
    "api_keys",
    "audit_findings",
    "audit_progress",
    "constant",
    "has_tenant",
    "ledger_entries",
    "ledger_seals",
    "metadata",
    "one_of",
    "operator_actions",
    "payments",
    "recon_jobs",
    "reconciliation_results",
    "seal_verification",
    "tenant_of",
    "worker_throughput",
    "workers",
]
