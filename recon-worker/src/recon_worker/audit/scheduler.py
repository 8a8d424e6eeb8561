"""The auditor in the background: one worker at a time audits, all workers show the findings."""

import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.repeat import every
from recon_worker import metrics
from recon_worker.audit.auditor import audit
from recon_worker.audit.findings import last_findings

log = logging.getLogger(__name__)


async def watch(engine: AsyncEngine, interval_seconds: float) -> None:
    """Audit new rows when the last audit is older than the interval; show the findings."""
    await every(
        interval_seconds / 4, lambda: _audit_if_due(engine, interval_seconds), "audit_failed"
    )


async def _audit_if_due(engine: AsyncEngine, interval_seconds: float) -> None:
    async with single_statement(engine) as connection:
        offending, age_seconds = await last_findings(connection)
    if age_seconds is None or age_seconds >= interval_seconds:
        for finding in await audit(engine, "incremental") or ():
            if finding.offending:
                log.critical(
                    "invariant_broken",
                    extra={
                        "invariant": finding.invariant.name,
                        "offending": finding.offending,
                        "first": str(dict(finding.offenders[0])),
                    },
                )
        async with single_statement(engine) as connection:
            offending, _ = await last_findings(connection)
    for name, rows in offending.items():
        metrics.INVARIANT_HOLDS.labels(name).set(0 if rows else 1)
