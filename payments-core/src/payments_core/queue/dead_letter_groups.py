"""Dead letters by error: one cause often makes many of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.queue.job_queries import ERROR_GROUP_MAX_CHARS, VARYING, jobs_by_id
from payments_core.queue.maintenance import COUNT_CAP

GROUPS_MAX = 20  # Their newest jobs fit on one page.
JOBS_SHOWN_MAX = 5  # Of each group.

# The newest dead letters only: a mass of them must not make the page slow.
GROUPS = f"""
WITH dead AS MATERIALIZED (
    SELECT id, updated_at, regexp_replace(left(last_error, {ERROR_GROUP_MAX_CHARS}),
                                          '{VARYING}', '#', 'g') AS error
    FROM recon_jobs WHERE status = 'failed' ORDER BY id DESC LIMIT {COUNT_CAP}
)
SELECT error, count(*) AS jobs, min(updated_at) AS first_failed_at,
       max(updated_at) AS last_failed_at,
       (array_agg(id ORDER BY id DESC))[1:{JOBS_SHOWN_MAX}] AS newest,
       sum(count(*)) OVER ()::bigint AS counted, count(*) OVER () AS groups
FROM dead GROUP BY error ORDER BY max(updated_at) DESC, error LIMIT {GROUPS_MAX}"""


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """The dead letters of one error, of which `newest` holds the first few."""

    error: str
    jobs: int
    first_failed_at: datetime
    last_failed_at: datetime
    newest: Sequence[AnyRow]


async def group_dead_letters(tx: AsyncConnection) -> tuple[list[DeadLetterGroup], bool]:
    """Return the groups, the latest failure first, and whether they leave dead letters out."""
    rows = (await tx.execute(text(GROUPS))).all()
    jobs = {job.id: job for job in await jobs_by_id(tx, [i for row in rows for i in row.newest])}
    groups = [
        DeadLetterGroup(
            row.error,
            row.jobs,
            row.first_failed_at,
            row.last_failed_at,
            [jobs[job_id] for job_id in row.newest if job_id in jobs],
        )
        for row in rows
    ]
    incomplete = bool(rows) and (rows[0].counted >= COUNT_CAP or rows[0].groups > GROUPS_MAX)
    return groups, incomplete
