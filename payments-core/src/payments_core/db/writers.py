"""Open writers of tables: transactions that may still commit a row with a smaller id.

Ids are handed out before the commit, so a reader that remembers the largest id it saw would skip
the rows of a transaction that commits later. Read the largest id first, then the open writers:
once they have ended, every row up to that id is visible, or never will be. The order matters: a
writer with a smaller id took it before the first statement, so the second one finds the writer, or
the writer has ended.
"""

import asyncio
from collections.abc import Collection
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection

LOOK_SECONDS = 0.02  # A batch's transaction takes a tenth of a second.

# A statement that writes holds this lock from before its first id until its transaction ends. A
# prepared transaction has no process, and PREPARE may have changed its virtual transaction id.
# Postgres takes the lock before it checks privileges: any role holds it by PREPARE of an INSERT and
# could stop the readers. So a session counts only if a role that it may act as can write.
_WRITERS = """
SELECT virtualtransaction AS writer, lock.pid IS NULL AS prepared
FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS session ON session.pid = lock.pid
WHERE locktype = 'relation' AND relation = ANY ($1::text[]::regclass[])
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode = 'RowExclusiveLock' AND granted
  AND (session.usesysid IS NULL OR EXISTS (
      SELECT FROM pg_roles AS role WHERE pg_has_role(session.usesysid, role.oid, 'MEMBER')
      AND has_any_column_privilege(role.oid, lock.relation, 'INSERT, UPDATE')))"""


async def open_writers(connection: AsyncConnection, tables: Collection[str]) -> frozenset[str]:
    """Return the transactions that write one of these tables now."""
    rows = await connection.exec_driver_sql(_WRITERS, ([f"public.{name}" for name in tables],))
    return frozenset(row.writer for row in rows)


async def have_ended(
    connection: AsyncConnection,
    tables: Collection[str],
    writers: frozenset[str],
    wait_seconds: float = 0.0,
) -> bool:
    """Return whether all these writers have ended, now or within the wait.

    False while any prepared transaction is open. Each statement must see the latest locks, as it
    does in autocommit mode.
    """
    if not writers:
        return True
    give_up_at = monotonic() + wait_seconds
    while True:
        rows = await connection.exec_driver_sql(_WRITERS, ([f"public.{name}" for name in tables],))
        if not any(row.prepared or row.writer in writers for row in rows):
            return True
        if monotonic() >= give_up_at:
            return False
        await asyncio.sleep(LOOK_SECONDS)
