"""Schemas of the queue, its workers and the audit."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from payments_api.payments.schemas import Cursor, JobOfPayment, Shape
from payments_core.domain import statuses
from payments_core.domain.statuses import JobAction


class Job(JobOfPayment):
    """A job of the queue; a failed job is a dead letter."""

    payment_id: UUID
    priority: int
    locked_until: datetime | None


class JobPage(Shape):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: Cursor


class QueueStats(Shape):
    """The queue's depth. A capped count means at least that many."""

    pending: int
    processing: int
    failed: int
    pending_capped: bool
    processing_capped: bool
    failed_capped: bool
    oldest_ready_age_seconds: float | None


class Replayed(Shape):
    """The number of dead letters that matched, and of those that were replayed."""

    matched: int
    replayed: int


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

    For an action on an API key, `reason` names the key.
    """

    id: int
    action: statuses.OperatorAction
    actor: str
    key_name: str | None
    reason: str
    job_ids: list[int]
    payment_id: UUID | None
    trace_id: str | None
    created_at: datetime


class OperatorRecordPage(Shape):
    """A page of operators' actions, newest first."""

    actions: list[OperatorRecord]
    next_cursor: Cursor


class ActionPage(Shape):
    """A page of operators' decisions about dead letters, newest first."""

    actions: list[OperatorAction]
    next_cursor: Cursor


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


class Invariant(Shape):
    """A promise that the auditor checks; `offending` counts the rows that break it."""

    name: str
    title: str
    ok: bool
    offending: int


class Audit(Shape):
    """The auditor's latest findings; before the first audit, no invariants and no time."""

    checked_at: datetime | None
    mode: Literal["incremental", "full"] | None
    invariants: list[Invariant]


class Status(Shape):
    """The state of the process."""

    status: str
