"""The quota of a tenant's uploads: files and bytes within a day.

Files are kept for ever, so no quota of what is kept would let an honest tenant go on. This one
bounds how fast a tenant can fill the disk. The sum reads the files of one day by an index, however
long the history.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.domain.ids import first_id_at

WINDOW = timedelta(days=1)

# One at a time: transactions that end together would not see each other's file. The lock needs the
# right to delete uploads, which no reader has; it permits reads and writes of the rows.
_LOCK_COMPLETIONS = text("LOCK TABLE statement_uploads IN SHARE UPDATE EXCLUSIVE MODE")
_USED = text("""
SELECT count(*) AS files, coalesce(sum(file.size_bytes), 0)::bigint AS size_bytes
FROM recon_sources AS source
CROSS JOIN LATERAL (
    SELECT size_bytes FROM statement_files WHERE source_id = source.id AND id >= :since) AS file
WHERE coalesce(source.tenant, '') = coalesce(CAST(:tenant AS text), '')""")


class QuotaExceeded(ValueError):
    """The tenant has reached its upload quota of 24 hours."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant, and all sources without one, may send within a day."""

    bytes_max: int
    files_max: int

    async def bytes_left(self, tx: AsyncConnection, tenant: str | None) -> int:
        """Return how many bytes one more file may have. Raises QuotaExceeded."""
        used = await _used(tx, tenant)
        if used.files >= self.files_max or used.size_bytes >= self.bytes_max:
            raise self.exceeded()
        left: int = self.bytes_max - used.size_bytes
        return left

    async def check(self, tx: AsyncConnection, tenant: str | None) -> None:
        """Check the sum with the file that `tx` has stored; it must end soon. Raises QuotaExceeded.

        Exact, whichever uploads end together.
        """
        await tx.execute(_LOCK_COMPLETIONS)
        used = await _used(tx, tenant)
        if used.files > self.files_max or used.size_bytes > self.bytes_max:
            raise self.exceeded()

    def exceeded(self) -> QuotaExceeded:
        """Return the error that names the quota."""
        return QuotaExceeded(
            f"At most {self.files_max} files and {self.bytes_max} bytes of them are received within"
            " 24 hours: send the file later, or have the quota raised."
        )


async def _used(tx: AsyncConnection, tenant: str | None) -> AnyRow:
    since = first_id_at(datetime.now(UTC), -WINDOW)
    return (await tx.execute(_USED, {"since": since, "tenant": tenant})).one()
