"""`recon-worker jobs`: show jobs, replay or discard dead letters."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.statuses import JOB_STATUSES, REASON_MAX_CHARS, REPLAY_JOBS_MAX

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from payments_core.db.engine import AnyRow

Result = TypeVar("Result")

JOB_ID = arguments.WholeNumber(2**63 - 1)
STATUSES = "0 done; 1 no job has that id, or it is not a dead letter; 2 the database failed."


@click.group(cls=Group)
def jobs() -> None:
    """Show jobs, replay or discard dead letters."""


@jobs.command(
    "list",
    example="recon-worker jobs list --status failed",
    statuses="0 done; 2 the database failed.",
)
@click.option(
    "--status",
    type=click.Choice(JOB_STATUSES),
    default="failed",
    show_default=True,
    help="Jobs in this status; failed ones are dead letters.",
)
@arguments.list_limit("Jobs")
@click.option("--before", type=JOB_ID, help="Continue a list: jobs whose id is below this one.")
@as_json("Print one JSON object per line.")
def list_(status: str, limit: int, before: int | None, json_too: bool) -> int:
    """List jobs in a status, newest first."""
    from payments_core.db.keyset import Walk
    from payments_core.queue import job_queries

    def say(found: "Sequence[AnyRow]", database: str) -> None:
        _print_jobs(found[:limit], status, json_too=json_too)
        if len(found) > limit:
            output.more("--before", found[limit - 1].id)

    return _run(lambda tx: job_queries.list_jobs(tx, status, limit + 1, Walk(before)), say)


@jobs.command(
    example="recon-worker jobs show 7",
    statuses="0 done; 1 no job has that id; 2 the database failed.",
)
@click.argument("job_id", metavar="ID", type=JOB_ID)
@as_json("Print JSON; this command always does.")
def show(job_id: int, json_too: bool) -> int:
    """Print the job with this ID as JSON."""
    from payments_core.queue import job_queries

    return _run(
        lambda tx: job_queries.get_job(tx, job_id),
        lambda job, database: output.print_json(job._asdict(), indent=2),
    )


@jobs.command(
    example="recon-worker jobs replay 7 --reason 'the bug is fixed'\n"
    "recon-worker jobs replay --all --error-contains timeout --dry-run",
    statuses=STATUSES,
)
@click.argument("job_id", metavar="[ID]", type=JOB_ID, required=False)
@click.option("--all", "every", is_flag=True, help="Replay every matching dead letter.")
@click.option("--error-contains", help="With --all: only jobs whose error contains this text.")
@click.option("--account", help="With --all: only jobs of this account.")
@click.option(
    "--limit",
    type=arguments.WholeNumber(REPLAY_JOBS_MAX),
    default=REPLAY_JOBS_MAX,
    show_default=True,
    help="With --all: jobs to replay, oldest first.",
)
@click.option("--dry-run", is_flag=True, help="With --all: print their number, change nothing.")
@click.option(
    "--reason",
    type=arguments.Text(0, REASON_MAX_CHARS),
    default="",
    help="The reason, for the audit record.",
)
@arguments.actor()
@arguments.yes()
@as_json()
def replay(job_id: int | None, every: bool, **options: Any) -> int:
    """Return the dead letter with this ID, or --all, to the queue with new attempts."""
    if (job_id is None) != every:
        raise click.UsageError("Name one job's id, or --all.")
    return _replay_all(**options) if job_id is None else _replay_one(job_id, **options)


def _replay_one(job_id: int, *, actor: str, reason: str, json_too: bool, **_: Any) -> int:
    from payments_core.audit_log import Operator
    from payments_core.queue import dead_letters

    def say(job: "AnyRow", database: str) -> None:
        text = f"replayed job {job_id} in {database}"
        print(json.dumps({"replayed": [job_id]}) if json_too else text)

    return _run(lambda tx: dead_letters.replay(tx, job_id, Operator(actor), reason), say)


def _replay_all(
    *,
    error_contains: str | None,
    account: str | None,
    limit: int,
    dry_run: bool,
    reason: str,
    actor: str,
    yes: bool,
    json_too: bool,
) -> int:
    from payments_core.audit_log import Operator
    from payments_core.queue import dead_letters, job_queries

    which = job_queries.DeadLetterFilter(error_contains=error_contains, account_id=account)

    def say_count(matching: list[int], database: str) -> None:
        count = len(matching)
        letters = output.counted(count, "dead letter")
        text = f"would replay {letters} in {database}"
        if dry_run:
            print(json.dumps({"would_replay": count}) if json_too else text)
        elif count:
            output.confirm(f"Replay {letters} in {database}?")

    def say(ids: list[int], database: str) -> None:
        text = f"replayed {output.counted(len(ids), 'dead letter')} in {database}"
        print(json.dumps({"replayed": ids}) if json_too else text)

    if dry_run or not yes:
        status = _run(lambda tx: job_queries.matching_ids(tx, which, limit), say_count)
        if dry_run or status:
            return status
    return _run(
        lambda tx: dead_letters.replay_matching(tx, which, limit, Operator(actor), reason), say
    )


@jobs.command(example="recon-worker jobs discard 7 --reason 'entered twice'", statuses=STATUSES)
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option(
    "--reason",
    type=arguments.Text(1, REASON_MAX_CHARS),
    required=True,
    help="The reason, for the audit record and the payment's result.",
)
@arguments.actor()
@as_json()
def discard(job_id: int, reason: str, actor: str, json_too: bool) -> int:
    """Discard the dead letter with this ID: its payment fails.

    A reversal is discarded on the page, or with POST /jobs/{id}/discard: the worker's role must
    not release its amount.
    """
    from payments_core.audit_log import Operator
    from payments_core.queue import dead_letters

    def say(job: "AnyRow", database: str) -> None:
        text = f"discarded job {job_id} in {database}; its payment failed"
        print(json.dumps({"discarded": job_id}) if json_too else text)

    return _run(lambda tx: dead_letters.discard(tx, job_id, Operator(actor), reason), say)


def _run(
    work: "Callable[[AsyncConnection], Awaitable[Result]]", say: Callable[[Any, str], None]
) -> int:
    """Run the work in a transaction; after the commit, say its result and the database's name."""
    from payments_core.cli.database import run_in_transaction
    from payments_core.config import read_settings
    from payments_core.queue.dead_letters import JobNotDead, ReversalNotReleased
    from payments_core.queue.job_queries import JobNotFound
    from recon_worker.settings import WorkerSettings

    refusals = (JobNotFound, JobNotDead, ReversalNotReleased)
    return run_in_transaction(
        read_settings(WorkerSettings), work, say, "recon-worker-cli", refusals
    )


def _print_jobs(found: "Sequence[AnyRow]", status: str, *, json_too: bool) -> None:
    if json_too:
        for job in found:
            output.print_json(job._asdict())
        return
    rows = [
        (
            str(job.id),
            str(job.payment_id),
            f"{job.attempts}/{job.max_attempts}",
            output.shown_time(job.updated_at),
            " ".join((job.last_error or "").split()),
        )
        for job in found
    ]
    headings = ("ID", "PAYMENT", "TRIES", "UPDATED", "ERROR")
    none = "no dead letters" if status == "failed" else f"no {status} jobs"
    output.print_table(headings, rows, ("ERROR",), none)
