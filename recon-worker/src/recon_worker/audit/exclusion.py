"""One audit at a time, by a lock that only a role with UPDATE on the bookmark can take.

Every role may take any advisory lock, and could so stop all audits. A row lock needs a
transaction id, and vacuum would wait for that transaction. This table lock needs no transaction id,
permits reads and writes of the rows, and is released when its session ends.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import sqlstate_of

LOCK = "LOCK TABLE audit_progress IN SHARE UPDATE EXCLUSIVE MODE"
LOCK_NOT_AVAILABLE = "55P03"
# An autovacuum of the table takes the same lock, for less than a second. The transaction idles
# while the audit runs; keepalives end it if its host vanishes.
SETTINGS = """
SELECT set_config('lock_timeout', '1s', true),
       set_config('idle_in_transaction_session_timeout', '0', true),
       set_config('tcp_keepalives_idle', '10', true),
       set_config('tcp_keepalives_interval', '3', true),
       set_config('tcp_keepalives_count', '3', true)"""


@asynccontextmanager
async def alone(engine: AsyncEngine) -> AsyncIterator[bool]:
    """Hold the audit's lock while the block runs; yield False if another session holds it."""
    async with engine.connect() as connection:
        await connection.exec_driver_sql(SETTINGS)
        try:
            await connection.exec_driver_sql(LOCK)
        except DBAPIError as error:
            if sqlstate_of(error) != LOCK_NOT_AVAILABLE:
                raise
            locked = False
        else:
            locked = True
        yield locked
