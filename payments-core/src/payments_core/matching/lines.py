"""Set lines aside by hand: explain or ignore an open line with a reason, or reopen it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.domain.matching import SET_ASIDE_STATUSES, Act
from payments_core.matching.matches import LOCK_LINES, ItemNotFound, MatchRefused

STATUS_AFTER: dict[Act, str] = {"explain": "explained", "ignore": "ignored", "reopen": "unmatched"}

SET_STATUS = "UPDATE statement_lines SET status = $2, status_reason = $3 WHERE id = $1"
RESOLVE = """
UPDATE recon_breaks SET resolved_at = CASE WHEN $2 THEN clock_timestamp() END,
    resolved_by = CASE WHEN $2 THEN $3 END
WHERE side = 'line' AND item_id = $1"""


async def set_aside(
    tx: AsyncConnection, source_id: int, line_id: int, act: Act, operator: Operator, reason: str
) -> None:
    """Explain or ignore an open line, or reopen a line that was set aside.

    Raises ItemNotFound, MatchRefused.
    """
    line = (await tx.exec_driver_sql(LOCK_LINES, (source_id, [line_id]))).one_or_none()
    if line is None:
        raise ItemNotFound(f"no line {line_id} of this source")
    # Lines that are not final are ignored for good: a later statement repeats them.
    is_aside = line.status in SET_ASIDE_STATUSES and line.final
    allowed = is_aside if act == "reopen" else line.open
    if not allowed:
        text = f"{{}} is {line.status}: there is nothing to {act}"
        raise MatchRefused(text, "line", line_id)
    closed = act != "reopen"
    values = (line_id, STATUS_AFTER[act], reason if closed else None)
    await tx.exec_driver_sql(SET_STATUS, values)
    await tx.exec_driver_sql(RESOLVE, (line_id, closed, operator.name))
    await record_action(tx, act, operator, reason, subject=f"line {line_id}")
