"""The cut: ledger entries that are final move into the open entries of their source, by chunks.

Ids are handed out before the commit, so a run sees entries only up to an id below which no
transaction can still commit one: see payments_core.db.writers. A chunk is one transaction, with
the source's bookmark in it; an interrupted cut goes on where it stopped.
"""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement, transaction
from payments_core.db.writers import have_ended, open_writers
from payments_core.matching.entries import COLUMNS, OF_TENANT, ROW, TABLES
from recon_worker.failpoints import reach
from recon_worker.statements.matching.source_lock import lock_source

CHUNK_ROWS = 20_000
WAIT_SECONDS_MAX = 20.0  # A writer's transaction ends sooner: db/engine.py bounds it.
WRITTEN = ("ledger_entries",)

LAST_ID = """
SELECT coalesce(max(id), 0) AS entry_id, clock_timestamp() AS at FROM ledger_entries
WHERE id <= (SELECT last_value FROM ledger_entries_id_seq)"""

# A source without a tenant has the entries of all tenants without a source of their own. A tenant's
# source takes over where that one has stopped, so both begin under its lock.
LOCK_WHOLE = """
SELECT whole.id FROM recon_sources AS source JOIN recon_sources AS whole
    ON whole.tenant IS NULL AND (whole.channel, whole.currency) = (source.channel, source.currency)
WHERE source.id = $1 FOR NO KEY UPDATE OF whole"""
BEGIN = """
INSERT INTO recon_cuts (source_id, entry_id, updated_at)
SELECT source.id, coalesce((SELECT entry_id FROM recon_cuts WHERE source_id = whole.id), 0),
       '-infinity'
FROM recon_sources AS given JOIN recon_sources AS source
    ON source.id = given.id OR given.tenant IS NULL
       AND (source.channel, source.currency) = (given.channel, given.currency)
LEFT JOIN recon_sources AS whole ON whole.tenant IS NULL AND source.tenant IS NOT NULL
    AND (whole.channel, whole.currency) = (source.channel, source.currency)
WHERE given.id = $1
ON CONFLICT DO NOTHING"""
READ = "SELECT entry_id FROM recon_cuts WHERE source_id = $1"
STEP = f"""
SELECT id FROM ledger_entries WHERE id > $1 AND id <= $2
ORDER BY id OFFSET {CHUNK_ROWS - 1} LIMIT 1"""

OF_SOURCE = f"""
    entry.entry_type = 'clearing' AND entry.currency = source.currency
    AND payment.source = source.channel AND {OF_TENANT}"""
# Adds the rows of a CTE to the sums of their days.
ADD_TO_DAYS = """
    INSERT INTO recon_days AS day (source_id, booked_on, amount, entries)
    SELECT {source}, booked_on, sum(amount), count(*) FROM {rows} GROUP BY booked_on
    ON CONFLICT (source_id, booked_on) DO UPDATE
    SET amount = day.amount + excluded.amount, entries = day.entries + excluded.entries"""
MOVE = f"""
WITH moved AS (
    INSERT INTO open_entries ({COLUMNS})
    SELECT {ROW}
    FROM {TABLES}
    JOIN recon_sources AS source ON source.id = $1
    WHERE entry.id > $2 AND entry.id <= $3 AND {OF_SOURCE}
    RETURNING booked_on, amount
), days AS ({ADD_TO_DAYS.format(source="$1", rows="moved")})
SELECT count(*) FROM moved"""
ADVANCE = "UPDATE recon_cuts SET entry_id = $2 WHERE source_id = $1"
SEEN = "UPDATE recon_cuts SET updated_at = greatest(updated_at, $2) WHERE source_id = $1"


async def advance_cut(engine: AsyncEngine, source_id: int) -> int:
    """Open every final entry of the source; return the last id that it has seen.

    If a writer does not end in time, the cut stays where it was: the next run goes on.
    """
    async with transaction(engine) as tx:
        await tx.exec_driver_sql(LOCK_WHOLE, (source_id,))
        await tx.exec_driver_sql(BEGIN, (source_id,))
    async with single_statement(engine) as connection:
        horizon, seen_at = await _final_id(connection)
    while True:
        async with transaction(engine) as tx:
            await lock_source(tx, source_id)
            cut: int = (await tx.exec_driver_sql(READ, (source_id,))).scalar_one()
            if horizon is None or cut >= horizon:
                if horizon is not None:
                    await tx.exec_driver_sql(SEEN, (source_id, seen_at))
                return cut
            step = (await tx.exec_driver_sql(STEP, (cut, horizon))).scalar()
            to = horizon if step is None else step
            await tx.exec_driver_sql(MOVE, (source_id, cut, to))
            await tx.exec_driver_sql(ADVANCE, (source_id, to))
        reach("after_cut_chunk")


async def _final_id(connection: AsyncConnection) -> tuple[int | None, object]:
    """Return the largest id below which every row is visible, and when that was read."""
    last = (await connection.exec_driver_sql(LAST_ID)).one()
    writers = await open_writers(connection, WRITTEN)
    final = await have_ended(connection, WRITTEN, writers, WAIT_SECONDS_MAX)
    return (last.entry_id if final else None), last.at
