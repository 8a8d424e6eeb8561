"""/jobs: what operators see of the queue, and what they do about dead letters."""

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.operator import operator_of
from payments_api.http.errors import JobNotDead, JobNotFound
from payments_api.http.json_body import read_json_object
from payments_api.http.query_params import Query, checked_account_id
from payments_api.operations.queries import read_audit, read_throughput, read_workers
from payments_api.operations.requests import (
    ActionRequest,
    DiscardRequest,
    ReplayRequest,
    parse_model,
)
from payments_api.payments.queries import time_or_none
from payments_api.services import services
from payments_core.audit_log import Operator, list_actions
from payments_core.db.engine import AnyRow
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import JOB_ACTIONS, JOB_STATUSES
from payments_core.queue import dead_letters, maintenance
from payments_core.queue.dead_letters import DeadLetterFilter

JOB_ID_MAX = 2**63 - 1

Act = Callable[[AsyncConnection, int, Operator, str], Awaitable[AnyRow]]

jobs = Blueprint("jobs", __name__)


@jobs.get("/jobs")
async def get_jobs() -> ResponseReturnValue:
    """A page of jobs in a status (dead letters by default), newest first."""
    query = Query(request.args, "status", "limit", "cursor")
    status = query.choice("status", JOB_STATUSES) or "failed"
    return await _page(query, ["jobs", status], "jobs", status)


@jobs.get("/jobs/actions")
async def get_actions() -> ResponseReturnValue:
    """A page of what operators did to dead letters, newest first."""
    return await _page(Query(request.args, "limit", "cursor"), ["actions"], "actions", None)


async def _page(
    query: Query, scope: list[str], name: str, status: str | None
) -> ResponseReturnValue:
    limit = query.limit()
    position = services().cursors.read(scope, query.text("cursor"))
    before = None if position is None else int(position)
    async with services().read() as tx:
        if status is None:
            rows = await list_actions(tx, limit + 1, before, JOB_ACTIONS)
        else:
            rows = await dead_letters.list_jobs(tx, status, limit + 1, before)
    page = rows[:limit]
    as_json = _action_json if status is None else _job_json
    cursor = services().cursors.sign(scope, str(page[-1].id)) if len(rows) > limit else None
    return {name: [as_json(row) for row in page], "nextCursor": cursor}


@jobs.get("/jobs/stats")
async def get_stats() -> ResponseReturnValue:
    """The queue's depth; counts stop at 10,000."""
    Query(request.args)
    async with services().read() as tx:
        depth = await maintenance.read_depth(tx)
    counts = {"pending": depth.pending, "processing": depth.processing, "failed": depth.failed}
    capped = {f"{name}Capped": n >= maintenance.COUNT_CAP for name, n in counts.items()}
    return {**counts, **capped, "oldestReadyAgeSeconds": depth.oldest_ready_age_seconds}


@jobs.get("/jobs/<id:job_id>")
async def get_job(job_id: str) -> ResponseReturnValue:
    """One job."""
    Query(request.args)
    wanted = _checked_id(job_id)
    async with services().read() as tx:
        try:
            return _job_json(await dead_letters.get_job(tx, wanted))
        except dead_letters.JobNotFound:
            raise JobNotFound from None


@jobs.post("/jobs/<id:job_id>/replay")
async def post_replay(job_id: str) -> ResponseReturnValue:
    """Give a dead letter all its attempts again."""
    wanted = parse_model(ActionRequest, await read_json_object(request))
    return await _act(job_id, dead_letters.replay, wanted)


@jobs.post("/jobs/<id:job_id>/discard")
async def post_discard(job_id: str) -> ResponseReturnValue:
    """Give a dead letter up: its payment fails, and says who discarded it and why."""
    wanted = parse_model(DiscardRequest, await read_json_object(request))
    return await _act(job_id, dead_letters.discard, wanted)


async def _act(job_id: str, act: Act, wanted: ActionRequest) -> ResponseReturnValue:
    operator = operator_of(wanted.actor)
    try:
        async with services().write() as tx:
            job = await act(tx, _checked_id(job_id), operator, wanted.reason)
    except dead_letters.JobNotFound:
        raise JobNotFound from None
    except dead_letters.JobNotDead as error:
        raise JobNotDead(str(error)) from None
    services().notifier.payments_changed([job.payment_id], jobs_added=act is dead_letters.replay)
    return _job_json(job)


@jobs.post("/jobs/replay")
async def post_replay_matching() -> ResponseReturnValue:
    """Replay every dead letter that matches, the oldest first; or only count them."""
    wanted = parse_model(ReplayRequest, await read_json_object(request))
    which = DeadLetterFilter(
        error_contains=wanted.error_contains,
        account_id=None
        if wanted.account_id is None
        else checked_account_id(wanted.account_id, None),
        created_from=wanted.created_from,
        created_to=wanted.created_to,
    )
    operator = operator_of(wanted.actor)
    async with services().write() as tx:
        if wanted.dry_run:
            return {
                "matched": await dead_letters.count_dead(tx, which, wanted.limit),
                "replayed": 0,
            }
        ids = await dead_letters.replay_matching(tx, which, wanted.limit, operator, wanted.reason)
    services().notifier.payments_changed([], jobs_added=bool(ids))
    return {"matched": len(ids), "replayed": len(ids)}


@jobs.get("/workers")
async def get_workers() -> ResponseReturnValue:
    """The workers, and what each holds."""
    Query(request.args)
    async with services().read() as tx:
        return await read_workers(tx)


@jobs.get("/throughput")
async def get_throughput() -> ResponseReturnValue:
    """Payments settled in each ten seconds of the last minutes."""
    minutes = Query(request.args, "minutes").integer("minutes", 15, 1, 24 * 60)
    async with services().read() as tx:
        return await read_throughput(tx, minutes)


@jobs.get("/audit")
async def get_audit() -> ResponseReturnValue:
    """What the auditor found last."""
    Query(request.args)
    async with services().read() as tx:
        return await read_audit(tx)


def _checked_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > JOB_ID_MAX:
        raise JobNotFound
    return int(text)


def _job_json(job: AnyRow) -> dict[str, Any]:
    return {
        "id": job.id,
        "paymentId": str(job.payment_id),
        "status": job.status,
        "priority": job.priority,
        "attempts": job.attempts,
        "maxAttempts": job.max_attempts,
        "runAt": utc_text(job.run_at),
        "lockedBy": job.locked_by,
        "lockedAt": time_or_none(job.locked_at),
        "lockedUntil": time_or_none(job.locked_until),
        "lastError": job.last_error,
        "createdAt": utc_text(job.created_at),
        "updatedAt": utc_text(job.updated_at),
    }


def _action_json(action: AnyRow) -> dict[str, Any]:
    return {
        "id": action.id,
        "action": action.action,
        "actor": action.actor,
        "reason": action.reason,
        "jobIds": action.job_ids,
        "createdAt": utc_text(action.created_at),
    }
