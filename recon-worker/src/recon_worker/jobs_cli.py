"""`recon-worker jobs`: show jobs, replay or discard dead letters."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator, this_user
from payments_core.db.engine import AnyRow, transaction
from payments_core.domain.statuses import JOB_STATUSES, OPERATOR_MAX_CHARS, REASON_MAX_CHARS
from payments_core.queue import dead_letters
from payments_core.queue.dead_letters import DeadLetterFilter, JobNotDead, JobNotFound

LIST_LIMIT_MAX = 1_000
JOB_ID_MAX = 2**63 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `recon-worker jobs`."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="list jobs in a status, newest first")
    listing.add_argument("--status", default="failed", choices=JOB_STATUSES)
    listing.add_argument("--limit", type=_number_up_to(LIST_LIMIT_MAX), default=50)
    show = actions.add_parser("show", help="print one job as JSON")
    show.add_argument("id", type=_number_up_to(JOB_ID_MAX))
    for name, text in (
        ("replay", "return dead letters to the queue with all attempts"),
        ("discard", "give up a dead letter: its payment fails"),
    ):
        action = actions.add_parser(name, help=text)
        job_id = _number_up_to(JOB_ID_MAX)
        action.add_argument("id", type=job_id, nargs="?" if name == "replay" else None)
        reason = _text(1 if name == "discard" else 0, REASON_MAX_CHARS)
        action.add_argument("--reason", type=reason, required=name == "discard", default="")
        actor = _text(1, OPERATOR_MAX_CHARS)
        action.add_argument(
            "--actor", type=actor, default=this_user(), help="name to record for the action"
        )
        if name == "replay":
            action.add_argument(
                "--all", action="store_true", help="replay every matching dead letter"
            )
            action.add_argument(
                "--error-contains", help="with --all: only jobs whose error contains this text"
            )
            action.add_argument("--account", help="with --all: only jobs of this account")
            limit = _number_up_to(dead_letters.REPLAY_JOBS_MAX)
            action.add_argument("--limit", type=limit, default=dead_letters.REPLAY_JOBS_MAX)
            action.add_argument(
                "--dry-run", action="store_true", help="print the number of jobs and change nothing"
            )


def _number_up_to(most: int) -> Callable[[str], int]:
    def number(raw: str) -> int:
        if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and 1 <= int(raw) <= most):
            raise argparse.ArgumentTypeError(f"must be a number from 1 to {most}, not {raw!r}")
        return int(raw)

    return number


def _text(least: int, most: int) -> Callable[[str], str]:
    def text(raw: str) -> str:
        if not least <= len(raw) <= most or not _is_unicode(raw):
            raise argparse.ArgumentTypeError(f"must be a text of {least} to {most} characters")
        return raw

    return text


def _is_unicode(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:  # The argument's bytes are not UTF-8.
        return False
    return True


async def run(engine: AsyncEngine, arguments: argparse.Namespace) -> int:
    """Run the action; return exit status 0, or 1 after printing the reason."""
    try:
        if arguments.action == "list":
            return await _list(engine, arguments)
        if arguments.action == "show":
            async with transaction(engine) as tx:
                job = await dead_letters.get_job(tx, arguments.id)
            print(json.dumps(job._asdict(), default=str, indent=2))
            return 0
        if arguments.action == "discard":
            async with transaction(engine) as tx:
                await dead_letters.discard(
                    tx, arguments.id, Operator(arguments.actor), arguments.reason
                )
            print(f"discarded job {arguments.id}; its payment failed")
            return 0
        return await _replay(engine, arguments)
    except (JobNotFound, JobNotDead) as error:
        print(error, file=sys.stderr)
        return 1


async def _list(engine: AsyncEngine, arguments: argparse.Namespace) -> int:
    async with transaction(engine) as tx:
        jobs = await dead_letters.list_jobs(tx, arguments.status, arguments.limit)
    _print_jobs(jobs)
    return 0


async def _replay(engine: AsyncEngine, arguments: argparse.Namespace) -> int:
    if (arguments.id is None) != arguments.all:
        print("name one job's id, or --all", file=sys.stderr)
        return 1
    if not arguments.all:
        async with transaction(engine) as tx:
            await dead_letters.replay(tx, arguments.id, Operator(arguments.actor), arguments.reason)
        print(f"replayed job {arguments.id}")
        return 0
    which = DeadLetterFilter(error_contains=arguments.error_contains, account_id=arguments.account)
    async with transaction(engine) as tx:
        if arguments.dry_run:
            print(f"would replay {await dead_letters.count_dead(tx, which, arguments.limit)}")
            return 0
        ids = await dead_letters.replay_matching(
            tx, which, arguments.limit, Operator(arguments.actor), arguments.reason
        )
    print(f"replayed {len(ids)}")
    return 0


def _print_jobs(jobs: Sequence[AnyRow]) -> None:
    if not jobs:
        print("no such jobs")
        return
    print(f"{'ID':>10}  {'PAYMENT':<36}  {'TRIES':>7}  {'UPDATED':<19}  ERROR")
    for job in jobs:
        tries = f"{job.attempts}/{job.max_attempts}"
        error = (job.last_error or "").replace("\n", " ")[:80]
        print(f"{job.id:>10}  {job.payment_id}  {tries:>7}  {job.updated_at:%F %T}  {error}")
