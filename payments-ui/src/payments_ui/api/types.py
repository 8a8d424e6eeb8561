"""The shapes in which payments-api answers: JSON objects, money as text, times as RFC 3339."""

from typing import Literal, NotRequired, TypedDict

PaymentStatus = Literal["pending", "completed", "failed"]


class Payment(TypedDict):
    """A payment as lists and events show it. discrepancyAmount: see its reconciliation."""

    id: str
    accountId: str
    amount: str
    currency: str
    description: str | None
    status: PaymentStatus
    createdAt: str
    settledAt: NotRequired[str | None]
    discrepancyAmount: NotRequired[str | None]


class Job(TypedDict):
    """The work of reconciling one payment. failed: a dead letter."""

    id: int | str
    paymentId: NotRequired[str]
    status: Literal["pending", "processing", "completed", "failed"]
    attempts: int
    maxAttempts: int
    runAt: str | None
    lockedBy: str | None
    lockedAt: str | None
    lastError: str | None
    createdAt: str
    updatedAt: str


class Reconciliation(TypedDict):
    """What the rules said."""

    status: Literal["completed", "completed_with_discrepancy", "failed"]
    matched: bool
    discrepancyAmount: str | None
    notes: str | None
    ruleVersion: int | str
    createdAt: str


class LedgerEntry(TypedDict):
    """One leg of a posting; balanceAfter is its account's running balance."""

    id: int | str
    paymentId: NotRequired[str]
    accountId: str
    currency: str
    entryType: Literal["payment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: str
    accountSeq: int
    balanceAfter: str
    createdAt: str


class PaymentDetail(Payment):
    """A payment with everything that is known of it."""

    idempotencyKey: str
    traceparent: str | None
    updatedAt: str
    job: Job | None
    reconciliation: Reconciliation | None
    ledgerEntries: list[LedgerEntry]


class PaymentPage(TypedDict):
    """Newest first; nextCursor leads to older ones."""

    payments: list[Payment]
    nextCursor: str | None


class EntryPage(TypedDict):
    """An account's statement, newest first."""

    entries: list[LedgerEntry]
    nextCursor: str | None


class Balance(TypedDict):
    """An account's balance in one currency."""

    accountId: str
    balance: str
    currency: str


class JobPage(TypedDict):
    """Dead letters, newest first."""

    jobs: list[Job]
    nextCursor: str | None


class Action(TypedDict):
    """Something an operator did: a payment made, or dead letters decided."""

    id: int
    action: str
    actor: str
    keyName: str | None
    reason: str
    jobIds: list[int]
    paymentId: str | None
    traceId: str | None
    createdAt: str


class ActionPage(TypedDict):
    """The audit record, newest first."""

    actions: list[Action]
    nextCursor: str | None


class QueueStats(TypedDict):
    """How full the queue is. Capped: there are at least that many."""

    pending: int
    processing: int
    failed: int
    oldestReadyAgeSeconds: float | None
    pendingCapped: NotRequired[bool]
    processingCapped: NotRequired[bool]
    failedCapped: NotRequired[bool]


class Worker(TypedDict):
    """A worker's sign of life and what it holds."""

    id: str
    host: str
    version: str
    startedAt: str
    seenAt: str
    alive: bool
    heldJobs: int
    oldestLeaseUntil: str | None
    completedTotal: int


class Bucket(TypedDict):
    """What was finished in the bucketSeconds from start on."""

    start: str
    completed: int
    failed: int
    discrepancy: int


class Throughput(TypedDict):
    """Oldest first, no gaps."""

    bucketSeconds: int
    buckets: list[Bucket]


class Invariant(TypedDict):
    """One promise that the auditor checks; offending counts the rows that break it."""

    name: str
    title: str
    ok: bool
    offending: int


class AuditReport(TypedDict):
    """The auditor's last word."""

    checkedAt: str | None
    mode: str | None
    invariants: list[Invariant]


class ReplayCount(TypedDict):
    """How many dead letters a filter matches, and how many were sent back to the queue."""

    matched: int
    replayed: int
