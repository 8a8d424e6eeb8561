"""Schemas of the queue, its workers and the audit."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from payments_api.http.schemas import Cursor, PreviousCursor, Shape
from payments_api.payments.schemas import JobOfPayment
from payments_core.domain import statuses
from payments_core.domain.statuses import JobAction


class Job(JobOfPayment):
    """A job of the queue; a failed job is a dead letter. A reversal's job has a `reversalId`."""

    payment_id: UUID
    reversal_id: UUID | None
    account_id: str | None
    amount: str | None
    currency: str | None
    priority: int
    locked_until: datetime | None


class JobPage(Shape):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class QueueStats(Shape):
    """The queue's depth. A capped count means at least that many."""

    pending: int
    processing: int
    failed: int
    pending_capped: bool
    processing_capped: bool
    failed_capped: bool
    oldest_ready_age_seconds: float | None


class DeadLetterGroup(Shape):
    """The dead letters whose errors differ in numbers and UUIDs only, with the newest five."""

    error: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    newest: list[Job]


class DeadLetterGroups(Shape):
    """Dead letters by error, the latest failure first.

    `incomplete`: there are more than 20 groups, or more dead letters than were counted.
    """

    groups: list[DeadLetterGroup]
    incomplete: bool


class Matched(Shape):
    """The dead letters that matched, oldest first.

    `skipped` counts the requested `jobIds` that are no dead letters, such as a job that another
    operator has replayed.
    """

    matched: int
    skipped: int
    job_ids: list[int]


class Replayed(Matched):
    """The dead letters that matched, and the number of those that were replayed."""

    replayed: int


class Discarded(Matched):
    """The dead letters that matched, and the number of those that were discarded."""

    discarded: int


class OperatorAction(Shape):
    """An operator's decision about dead letters."""

    id: int
    action: JobAction
    actor: str
    reason: str
    job_ids: list[int]
    created_at: datetime


class OperatorRecord(Shape):
    """An operator's action. `jobIds` are the dead letters, `paymentId` the payment concerned.

    `subject` names what else it concerns: "source bank-eur", "webhook" and its id. For an action on
    an API key, `reason` names the key.
    """

    id: int
    action: statuses.OperatorAction
    actor: str
    key_name: str | None
    reason: str
    job_ids: list[int]
    payment_id: UUID | None
    subject: str | None
    trace_id: str | None
    created_at: datetime


class OperatorRecordPage(Shape):
    """A page of operators' actions, newest first."""

    actions: list[OperatorRecord]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class ActionPage(Shape):
    """A page of operators' decisions about dead letters, newest first."""

    actions: list[OperatorAction]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Worker(Shape):
    """A worker seen within the last day."""

    id: str
    host: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    held_jobs: int
    oldest_lease_until: datetime | None
    completed_total: int


class Workers(Shape):
    """The workers seen within the last day."""

    workers: list[Worker]


class ThroughputBucket(Shape):
    """Payments settled in the `bucketSeconds` from `start` on; `completed` without discrepancy."""

    start: datetime
    completed: int
    failed: int
    discrepancy: int


class Throughput(Shape):
    """The payments settled in each interval, oldest first."""

    bucket_seconds: int
    buckets: list[ThroughputBucket]


class Offender(Shape):
    """A row that violates an invariant. Only the fields that identify it are set."""

    payment_id: UUID | None
    account_id: str | None
    currency: str | None
    job_id: int | None


class Invariant(Shape):
    """A promise that the auditor checks; `offending` counts the rows that violate it.

    `offenders` holds the first of them, at most 20.
    """

    name: str
    title: str
    description: str
    ok: bool
    offending: int
    offenders: list[Offender]


class Audit(Shape):
    """The auditor's latest findings; before the first audit, no invariants and no time."""

    checked_at: datetime | None
    mode: Literal["incremental", "full"] | None
    invariants: list[Invariant]


class Seal(Shape):
    """The head of the chain of seals and the state of its verification.

    `unsealedEntries` includes gaps in the ids of entries. `unsealedAgeSeconds` is the age of the
    oldest unsealed entry or result. `problem` is the first difference between rows and seals that
    the workers have found.
    """

    head_seq: int
    head_hash: str | None
    signed: bool
    sealed_at: datetime | None
    unsealed_entries: int
    unsealed_age_seconds: float | None
    verified_seq: int
    verified_at: datetime | None
    pass_completed_at: datetime | None
    problem: str | None
    problem_seq: int | None
    problem_at: datetime | None


class Status(Shape):
    """The state of the process."""

    status: str
