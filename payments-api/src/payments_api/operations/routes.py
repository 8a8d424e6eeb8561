"""/jobs, /workers, /throughput, /audit: the operators' view of the queue and dead letters."""

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Blueprint, request
from quart.typing import ResponseReturnValue
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import JOBS_ADMIN
from payments_api.auth.middleware import caller, requires
from payments_api.auth.operator import acting_operator
from payments_api.auth.tenants import checked_account_id
from payments_api.http.errors import JobNotDead, JobNotFound
from payments_api.http.json_body import read_json_object
from payments_api.http.messages import header_fields
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query
from payments_api.operations.queries import (
    get_audit_findings,
    get_throughput_buckets,
    list_workers,
)
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
from payments_core.domain.statuses import FAILED, JOB_ACTIONS, JOB_STATUSES
from payments_core.queue import dead_letters, maintenance
from payments_core.queue.dead_letters import DeadLetterFilter

JOB_ID_MAX = 2**63 - 1

Act = Callable[[AsyncConnection, int, Operator, str], Awaitable[AnyRow]]

jobs = Blueprint("jobs", __name__)


@jobs.get("/jobs")
@requires(JOBS_ADMIN)
async def get_jobs() -> ResponseReturnValue:
    """List the jobs in a status, newest first; by default dead letters."""
    query = Query(request.args, "status", "limit", "cursor")
    status = query.choice("status", JOB_STATUSES) or FAILED
    page = Page(services().cursors, query, "jobs", int, {"status": status})
    async with services().read() as tx:
        rows = await dead_letters.list_jobs(tx, status, page.fetch_limit, page.before)
    return page.as_json("jobs", rows, _job_json)


@jobs.get("/jobs/actions")
@requires(JOBS_ADMIN)
async def get_actions() -> ResponseReturnValue:
    """List operators' decisions about dead letters, newest first."""
    query = Query(request.args, "limit", "cursor")
    page = Page(services().cursors, query, "job-actions", int)
    async with services().read() as tx:
        rows = await list_actions(tx, page.fetch_limit, page.before, JOB_ACTIONS)
    return page.as_json("actions", rows, _action_json)


@jobs.get("/jobs/stats")
@requires(JOBS_ADMIN)
async def get_stats() -> ResponseReturnValue:
    """Retrieve the queue's depth; counts stop at 10,000."""
    Query(request.args)
    async with services().read() as tx:
        depth = await maintenance.read_depth(tx)
    counts = {"pending": depth.pending, "processing": depth.processing, "failed": depth.failed}
    capped = {f"{name}Capped": n >= maintenance.COUNT_CAP for name, n in counts.items()}
    return {**counts, **capped, "oldestReadyAgeSeconds": depth.oldest_ready_age_seconds}


@jobs.get("/jobs/<id:job_id>")
@requires(JOBS_ADMIN)
async def get_job(job_id: str) -> ResponseReturnValue:
    """Retrieve a job."""
    Query(request.args)
    number = _checked_id(job_id)
    async with services().read() as tx:
        try:
            return _job_json(await dead_letters.get_job(tx, number))
        except dead_letters.JobNotFound:
            raise JobNotFound from None


@jobs.post("/jobs/<id:job_id>/replay")
@requires(JOBS_ADMIN)
async def post_replay(job_id: str) -> ResponseReturnValue:
    """Replay a dead letter: give it all its attempts again."""
    decision = parse_model(ActionRequest, await read_json_object(request))
    return await _decide(job_id, dead_letters.replay, decision)


@jobs.post("/jobs/<id:job_id>/discard")
@requires(JOBS_ADMIN)
async def post_discard(job_id: str) -> ResponseReturnValue:
    """Discard a dead letter: its payment fails, with the operator and the reason on record."""
    decision = parse_model(DiscardRequest, await read_json_object(request))
    return await _decide(job_id, dead_letters.discard, decision)


async def _decide(job_id: str, act: Act, decision: ActionRequest) -> ResponseReturnValue:
    operator = _operator(decision.actor)
    try:
        async with services().write() as tx:
            job = await act(tx, _checked_id(job_id), operator, decision.reason)
    except dead_letters.JobNotFound:
        raise JobNotFound from None
    except dead_letters.JobNotDead as error:
        raise JobNotDead(str(error)) from None
    services().notifier.payments_changed([job.payment_id], jobs_added=act is dead_letters.replay)
    return _job_json(job)


@jobs.post("/jobs/replay")
@requires(JOBS_ADMIN)
async def post_replay_matching() -> ResponseReturnValue:
    """Replay all matching dead letters, oldest first, or only count them."""
    replay = parse_model(ReplayRequest, await read_json_object(request))
    account_id = replay.account_id
    which = DeadLetterFilter(
        error_contains=replay.error_contains,
        account_id=None if account_id is None else checked_account_id(account_id, None),
        created_from=replay.created_from,
        created_to=replay.created_to,
    )
    operator = _operator(replay.actor)
    async with services().write() as tx:
        if replay.dry_run:
            matched = await dead_letters.count_dead(tx, which, replay.limit)
            return {"matched": matched, "replayed": 0}
        ids = await dead_letters.replay_matching(tx, which, replay.limit, operator, replay.reason)
    services().notifier.payments_changed([], jobs_added=bool(ids))
    return {"matched": len(ids), "replayed": len(ids)}


@jobs.get("/workers")
@requires(JOBS_ADMIN)
async def get_workers() -> ResponseReturnValue:
    """List the workers seen within a day, and the jobs that each holds."""
    Query(request.args)
    async with services().read() as tx:
        return await list_workers(tx)


@jobs.get("/throughput")
@requires(JOBS_ADMIN)
async def get_throughput() -> ResponseReturnValue:
    """Retrieve how many payments were settled in each ten seconds of the last minutes."""
    minutes = Query(request.args, "minutes").integer("minutes", 15, 1, 24 * 60)
    async with services().read() as tx:
        return await get_throughput_buckets(tx, minutes)


@jobs.get("/audit")
@requires(JOBS_ADMIN)
async def get_audit() -> ResponseReturnValue:
    """Retrieve the auditor's latest findings."""
    Query(request.args)
    async with services().read() as tx:
        return await get_audit_findings(tx)


def _operator(actor: str | None) -> Operator:
    return acting_operator(header_fields(request.scope["headers"]), caller(), actor)


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
