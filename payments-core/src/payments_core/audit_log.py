"""The record of operators' actions, written in the transaction of the action."""

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import operator_actions
from payments_core.domain.statuses import OPERATOR_ACTIONS, OperatorAction


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator; `key_name` names their API key, `trace_id` their request."""

    name: str
    key_name: str | None = None
    trace_id: str | None = None


def this_user() -> str:
    """Return the user who runs this command, the default actor on record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"  # A container's user may have no name.


async def record_action(
    tx: AsyncConnection,
    action: OperatorAction,
    operator: Operator,
    reason: str = "",
    job_ids: Sequence[int] = (),
    subject: str | None = None,
) -> None:
    """Record an action in the transaction of the action itself.

    `subject` names the object of an action that concerns no job: "source bank-eur".
    """
    await tx.execute(
        insert(operator_actions).values(
            action=action,
            actor=operator.name,
            key_name=operator.key_name,
            trace_id=operator.trace_id,
            reason=reason,
            job_ids=list(job_ids),
            subject=subject,
        )
    )


async def list_actions(
    tx: AsyncConnection,
    limit: int,
    walk: Walk[int] = NEWEST_FIRST,
    actions: Sequence[str] = OPERATOR_ACTIONS,
    actor: str | None = None,
) -> Sequence[AnyRow]:
    """Return actions along the walk, by id."""
    key = operator_actions.c.id
    query = select(operator_actions).where(*walk.beyond(key))
    if set(actions) != set(OPERATOR_ACTIONS):
        query = query.where(operator_actions.c.action.in_(actions))
    if actor is not None:
        query = query.where(operator_actions.c.actor == actor)
    return (await tx.execute(query.order_by(*walk.order(key)).limit(limit))).all()
