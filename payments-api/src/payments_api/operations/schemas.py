"""The queue, its workers and the audit: what operators are answered."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from payments_api.payments.schemas import Cursor, JobOfPayment, Shape
from payments_core.domain import statuses
from payments_core.domain.statuses import JobAction


class Job(JobOfPayment):
    """A job of the queue. failed is a dead letter."""

    payment_id: UUID
    priority: int
    locked_until: datetime | None


class JobPage(Shape):
    """Jobs, newest first."""

    jobs: list[Job]
    next_cursor: Cursor


class QueueStats(Shape):
    """The queue's depth. A count that is capped says at least that many."""

    pending: int
    processing: int
    failed: int
    pending_capped: bool
    processing_capped: bool
    failed_capped: bool
    oldest_ready_age_seconds: float | None


class Replayed(Shape):
    """How many dead letters matched, and how many were replayed."""

    matched: int
    replayed: int


class OperatorAction(Shape):
    """Something an operator did to dead letters."""

    id: int
    action: JobAction
    actor: str
    reason: str
    job_ids: list[int]
    created_at: datetime


class OperatorRecord(Shape):
    """Something an operator did: `jobIds` are decided dead letters, `paymentId` a payment made.

    What was done to an API key names it in `reason`.
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
    """What operators did, newest first."""

    actions: list[OperatorRecord]
    next_cursor: Cursor


class ActionPage(Shape):
    """What operators did, newest first."""

    actions: list[OperatorAction]
    next_cursor: Cursor


class Worker(Shape):
    """A worker seen within a day."""

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
    """All workers seen within a day."""

    workers: list[Worker]


class ThroughputBucket(Shape):
    """Payments settled in the `bucketSeconds` from `start` on; `completed` without discrepancy."""

    start: datetime
    completed: int
    failed: int
    discrepancy: int


class Throughput(Shape):
    """Payments settled in each bucket of time, oldest first."""

    bucket_seconds: int
    buckets: list[ThroughputBucket]


class Invariant(Shape):
    """A promise that the auditor checks; `offending` counts the rows that break it."""

    name: str
    title: str
    ok: bool
    offending: int


class Audit(Shape):
    """What the auditor found last; never audited is no invariant and no time."""

    checked_at: datetime | None
    mode: Literal["incremental", "full"] | None
    invariants: list[Invariant]


class Status(Shape):
    """How the process is."""

    status: str
