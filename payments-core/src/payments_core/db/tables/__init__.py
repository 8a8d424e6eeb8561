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
    last_backup,
    operator_actions,
    worker_throughput,
    workers,
)
from payments_core.db.tables.payments import has_tenant, payments, tenant_of
from payments_core.db.tables.queue import job_deaths, recon_jobs
from payments_core.db.tables.reversals import reversal_totals, reversals
from payments_core.db.tables.schema import constant, metadata, one_of
from payments_core.db.tables.statements.adjustments import recon_adjustments
from payments_core.db.tables.statements.breaks import recon_breaks
from payments_core.db.tables.statements.files import (
    recon_sources,
    statement_file_chunks,
    statement_files,
    statement_uploads,
)
from payments_core.db.tables.statements.lines import statement_lines, statement_staging, statements
from payments_core.db.tables.statements.matching import (
    match_legs,
    open_entries,
    recon_cuts,
    recon_days,
    recon_matches,
    recon_rule_sets,
    recon_runs,
)
from payments_core.db.tables.webhooks import (
    webhook_attempts,
    webhook_cursor,
    webhook_deliveries,
    webhook_disablings,
    webhook_endpoints,
    webhook_secrets,
)

__all__ = [
    "THROUGHPUT_BUCKET_SECONDS",
    "accounts",
    "api_keys",
    "audit_findings",
    "audit_progress",
    "constant",
    "has_tenant",
    "job_deaths",
    "last_backup",
    "ledger_entries",
    "ledger_seals",
    "match_legs",
    "metadata",
    "one_of",
    "open_entries",
    "operator_actions",
    "payments",
    "recon_adjustments",
    "recon_breaks",
    "recon_cuts",
    "recon_days",
    "recon_jobs",
    "recon_matches",
    "recon_rule_sets",
    "recon_runs",
    "recon_sources",
    "reconciliation_results",
    "reversal_totals",
    "reversals",
    "seal_verification",
    "statement_file_chunks",
    "statement_files",
    "statement_lines",
    "statement_staging",
    "statement_uploads",
    "statements",
    "tenant_of",
    "webhook_attempts",
    "webhook_cursor",
    "webhook_deliveries",
    "webhook_disablings",
    "webhook_endpoints",
    "webhook_secrets",
    "worker_throughput",
    "workers",
]
