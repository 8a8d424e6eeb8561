"""/jobs, /workers, /throughput, /audit: the operators' view of the queue and dead letters."""

from collections.abc import Awaitable, Callable

from quart import Blueprint, request
from quart.typing import ResponseReturnValue
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import JOBS_ADMIN
from payments_api.auth.middleware import requires
from payments_api.auth.operator import acting_operator
from payments_api.http.errors import JobNotDead, JobNotFound, ValidationFailed
from payments_api.http.json_body import read_json_object
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query
from payments_api.operations.job_json import action_json, bulk_json, group_json, job_json
from payments_api.operations.queries import (
    THROUGHPUT_BUCKETS_SECONDS,
    get_audit_findings,
    get_seal,
    get_throughput_buckets,
    list_workers,
)
from payments_api.operations.requests import (
    JOB_ID_MAX,
    ActionRequest,
    DiscardMatchingRequest,
    DiscardRequest,
    ReplayRequest,
    Selection,
    parse_model,
)
from payments_api.services import services
from payments_core.audit_log import Operator, list_actions
from payments_core.db.engine import AnyRow
from payments_core.domain.statuses import FAILED, JOB_ACTIONS, JOB_STATUSES
from payments_core.queue import dead_letters, job_queries, maintenance
from payments_core.queue.dead_letter_groups import group_dead_letters
from payments_core.queue.job_queries import DeadLetterFilter

Act = Callable[[AsyncConnection, int, Operator, str], Awaitable[AnyRow]]

jobs = Blueprint("jobs", __name__)


@jobs.get("/jobs")
@requires(JOBS_ADMIN)
async def get_jobs() -> ResponseReturnValue:
    """List the jobs in a status, newest first; by default dead letters."""
    query = Query(request.args, "status", "errorGroup", "limit", "cursor")
    status = query.choice("status", JOB_STATUSES) or FAILED
    group = query.text("errorGroup")
    page = Page(services().cursors, query, "jobs", int, {"status": status, "errorGroup": group})
    async with services().read() as tx:
        rows = await job_queries.list_jobs(tx, status, page.fetch_limit, page.walk, group)
    return page.as_json("jobs", rows, job_json)


@jobs.get("/jobs/groups")
@requires(JOBS_ADMIN)
async def get_groups() -> ResponseReturnValue:
    """List dead letters by error, the latest failure first."""
    Query(request.args)
    async with services().read() as tx:
        groups, incomplete = await group_dead_letters(tx)
    return {"groups": [group_json(group) for group in groups], "incomplete": incomplete}


@jobs.get("/jobs/actions")
@requires(JOBS_ADMIN)
async def get_actions() -> ResponseReturnValue:
    """List operators' decisions about dead letters, newest first."""
    query = Query(request.args, "limit", "cursor")
    page = Page(services().cursors, query, "job-actions", int)
    async with services().read() as tx:
        rows = await list_actions(tx, page.fetch_limit, page.walk, JOB_ACTIONS)
    return page.as_json("actions", rows, action_json)


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
            return job_json(await job_queries.get_job(tx, number))
        except job_queries.JobNotFound:
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
    operator = acting_operator(decision.actor)
    try:
        async with services().write() as tx:
            job = await act(tx, _checked_id(job_id), operator, decision.reason)
    except job_queries.JobNotFound:
        raise JobNotFound from None
    except dead_letters.JobNotDead as error:
        raise JobNotDead(str(error)) from None
    services().notifier.payments_changed([job.payment_id], jobs_added=act is dead_letters.replay)
    return job_json(job)


@jobs.post("/jobs/replay")
@requires(JOBS_ADMIN)
async def post_replay_matching() -> ResponseReturnValue:
    """Replay all matching dead letters, oldest first, or only count them."""
    replay = parse_model(ReplayRequest, await read_json_object(request))
    which = replay.as_filter
    if replay.dry_run:
        return await _dry_run(which, replay, "replayed")
    operator = acting_operator(replay.actor)
    async with services().write() as tx:
        ids = await dead_letters.replay_matching(tx, which, replay.limit, operator, replay.reason)
    services().notifier.payments_changed([], jobs_added=bool(ids))
    return bulk_json(replay, "replayed", ids, len(ids))


@jobs.post("/jobs/discard")
@requires(JOBS_ADMIN)
async def post_discard_matching() -> ResponseReturnValue:
    """Discard all matching dead letters, oldest first, or only count them: payments fail."""
    discard = parse_model(DiscardMatchingRequest, await read_json_object(request))
    which = discard.as_filter
    if which == DeadLetterFilter():
        raise ValidationFailed.of("jobIds", "is required unless a filter is present")
    if discard.dry_run:
        return await _dry_run(which, discard, "discarded")
    operator = acting_operator(discard.actor)
    async with services().write() as tx:
        ids, failed = await dead_letters.discard_matching(
            tx, which, discard.limit, operator, discard.reason
        )
    services().notifier.payments_changed(failed)
    return bulk_json(discard, "discarded", ids, len(ids))


async def _dry_run(which: DeadLetterFilter, selection: Selection, done: str) -> ResponseReturnValue:
    async with services().read() as tx:
        ids = await job_queries.matching_ids(tx, which, selection.limit)
    return bulk_json(selection, done, ids, 0)


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
    """Retrieve how many payments were settled in each interval of the last minutes."""
    query = Query(request.args, "minutes", "bucketSeconds")
    minutes = query.integer("minutes", 15, 1, 24 * 60)
    seconds = query.choice("bucketSeconds", tuple(map(str, THROUGHPUT_BUCKETS_SECONDS)))
    async with services().read() as tx:
        return await get_throughput_buckets(
            tx, minutes, int(seconds or THROUGHPUT_BUCKETS_SECONDS[0])
        )


@jobs.get("/audit")
@requires(JOBS_ADMIN)
async def get_audit() -> ResponseReturnValue:
    """Retrieve the auditor's latest findings."""
    Query(request.args)
    async with services().read() as tx:
        return await get_audit_findings(tx)


@jobs.get("/seal")
@requires(JOBS_ADMIN)
async def get_seal_state() -> ResponseReturnValue:
    """Retrieve the head of the chain of seals, its lag and the state of its verification."""
    Query(request.args)
    async with services().read() as tx:
        return await get_seal(tx)


def _checked_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > JOB_ID_MAX:
        raise JobNotFound
    return int(text)
