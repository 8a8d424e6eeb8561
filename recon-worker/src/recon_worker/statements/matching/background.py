"""Matching in the background: after an import, and every hour for all sources.

An entry may be posted after its line was imported, and an item gets late by a day's end alone; a
run without anything new writes no row.
"""

import logging
from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import is_unavailable, single_statement
from payments_core.db.tables import recon_sources
from recon_worker.statements import metrics
from recon_worker.statements.matching.run import run_matching

INTERVAL_SECONDS = 3600.0

log = logging.getLogger(__name__)


async def match_sources(engine: AsyncEngine, ids: Collection[int] | None = None) -> None:
    """Run the matching of these sources, or of all; a failure of one keeps no other back."""
    query = select(recon_sources).order_by(recon_sources.c.id)
    if ids is not None:
        query = query.where(recon_sources.c.id.in_(ids))
    async with single_statement(engine) as connection:
        sources = (await connection.execute(query)).all()
    for source in sources:
        try:
            with metrics.RUN_SECONDS.time():
                outcome = await run_matching(engine, source, datetime.now(UTC).date())
        except Exception as error:
            if is_unavailable(error):
                raise
            metrics.RUNS.labels("failed").inc()
            log.exception("matching_failed", extra={"source": source.name})
            continue
        metrics.RUNS.labels("changed" if outcome.changed else "unchanged").inc()
        if outcome.changed:
            shown = outcome.as_json()
            log.info(
                "source_matched",
                extra={
                    "source": source.name,
                    "run": shown["id"],
                    "verdict": shown["verdict"],
                    "breaks": shown["counts"]["breaks"],
                },
            )
