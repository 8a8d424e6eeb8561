"""The lock by which the runs of one source exclude each other, chunk by chunk."""

from sqlalchemy.ext.asyncio import AsyncConnection

# A row lock needs the UPDATE privilege; any role may take an advisory lock. It belongs to the
# transaction, so it also works behind a connection pooler.
LOCK = "SELECT rule_set FROM recon_sources WHERE id = $1 FOR NO KEY UPDATE"


async def lock_source(tx: AsyncConnection, source_id: int) -> None:
    """Wait until no other transaction of a run works on the source."""
    await tx.exec_driver_sql(LOCK, (source_id,))
