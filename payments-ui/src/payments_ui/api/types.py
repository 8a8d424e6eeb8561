"""The JSON that payments-api answers with: money as text, times as RFC 3339.

Generated from docs/openapi.json by `make api-types`: change the API, not this file.
"""

from typing import Literal, NotRequired, TypedDict


class CreatedPayment(TypedDict):
    """The payment as created; a replay returns the same bytes."""

    id: str
    accountId: str
    amount: str
    currency: str
    description: str
    reference: str | None
    metadata: dict[str, str]
    source: str
    status: Literal["pending"]
    createdAt: str


class Payment(TypedDict):
    """A payment with its current status."""

    id: str
    accountId: str
    amount: str
    currency: str
    description: str
    reference: str | None
    metadata: dict[str, str]
    source: str
    status: Literal["pending", "completed", "failed"]
    createdAt: str
    settledAt: str | None
    discrepancyAmount: str | None


class PaymentPage(TypedDict):
    """A page of payments, newest first."""

    payments: list[Payment]
    nextCursor: str | None


class JobOfPayment(TypedDict):
    """The job that reconciles the payment."""

    id: int
    status: Literal["pending", "processing", "completed", "failed"]
    attempts: int
    maxAttempts: int
    runAt: str
    lockedBy: str | None
    lockedAt: str | None
    lastError: str | None
    createdAt: str
    updatedAt: str


class Reconciliation(TypedDict):
    """The outcome of reconciliation. ruleVersion 0 is an operator's decision."""

    status: Literal["completed", "completed_with_discrepancy", "failed"]
    matched: bool
    discrepancyAmount: str | None
    notes: str
    ruleVersion: int
    createdAt: str


class LedgerEntry(TypedDict):
    """One leg of a posting, with its account's balance after it."""

    id: int | None
    accountId: str
    currency: str
    entryType: Literal["payment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: str
    accountSeq: int | None
    balanceAfter: str | None
    createdAt: str


class PaymentDetail(TypedDict):
    """A payment with its job, reconciliation and ledger entries."""

    id: str
    accountId: str
    amount: str
    currency: str
    description: str
    reference: str | None
    metadata: dict[str, str]
    source: str
    status: Literal["pending", "completed", "failed"]
    createdAt: str
    settledAt: str | None
    discrepancyAmount: str | None
    idempotencyKey: str
    traceparent: str | None
    updatedAt: str
    job: JobOfPayment | None
    reconciliation: Reconciliation | None
    ledgerEntries: list[LedgerEntry] | None


class Balance(TypedDict):
    """An account's balance; an account without entries has 0.00."""

    accountId: str
    balance: str
    currency: str
    at: NotRequired[str | None]


class Currencies(TypedDict):
    """The currencies in which an account has ledger entries."""

    currencies: list[str]


class StatementEntry(TypedDict):
    """A ledger entry with its payment's id, reference, metadata and source."""

    id: int | None
    accountId: str
    currency: str
    entryType: Literal["payment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: str
    accountSeq: int | None
    balanceAfter: str | None
    createdAt: str
    paymentId: str
    reference: str | None
    metadata: dict[str, str]
    source: str


class Statement(TypedDict):
    """A page of an account's ledger entries in a currency, newest first."""

    entries: list[StatementEntry]
    nextCursor: str | None


class Account(TypedDict):
    """An account in one of its currencies, with its balance."""

    accountId: str
    currency: str
    balance: str


class AccountPage(TypedDict):
    """A page of accounts, by name and currency."""

    accounts: list[Account]
    nextCursor: str | None


class QueueStats(TypedDict):
    """The queue's depth. A capped count means at least that many."""

    pending: int
    processing: int
    failed: int
    pendingCapped: bool
    processingCapped: bool
    failedCapped: bool
    oldestReadyAgeSeconds: float | None


class ThroughputBucket(TypedDict):
    """Payments settled in the `bucketSeconds` from `start` on; `completed` without discrepancy."""

    start: str
    completed: int
    failed: int
    discrepancy: int


class Throughput(TypedDict):
    """The payments settled in each interval, oldest first."""

    bucketSeconds: int
    buckets: list[ThroughputBucket]


class Worker(TypedDict):
    """A worker seen within the last day."""

    id: str
    host: str
    version: str
    startedAt: str
    seenAt: str
    alive: bool
    heldJobs: int
    oldestLeaseUntil: str | None
    completedTotal: int


class Workers(TypedDict):
    """The workers seen within the last day."""

    workers: list[Worker]


class Invariant(TypedDict):
    """A promise that the auditor checks; `offending` counts the rows that break it."""

    name: str
    title: str
    ok: bool
    offending: int


class Audit(TypedDict):
    """The auditor's latest findings; before the first audit, no invariants and no time."""

    checkedAt: str | None
    mode: Literal["incremental", "full"] | None
    invariants: list[Invariant]


class Job(TypedDict):
    """A job of the queue; a failed job is a dead letter."""

    id: int
    status: Literal["pending", "processing", "completed", "failed"]
    attempts: int
    maxAttempts: int
    runAt: str
    lockedBy: str | None
    lockedAt: str | None
    lastError: str | None
    createdAt: str
    updatedAt: str
    paymentId: str
    priority: int
    lockedUntil: str | None


class JobPage(TypedDict):
    """A page of jobs, newest first."""

    jobs: list[Job]
    nextCursor: str | None


class OperatorRecord(TypedDict):
    """An operator's action. `jobIds` are the dead letters, `paymentId` the payment concerned."""

    id: int
    action: Literal["create", "replay", "discard", "create_key", "rotate_key", "revoke_key"]
    actor: str
    keyName: str | None
    reason: str
    jobIds: list[int]
    paymentId: str | None
    traceId: str | None
    createdAt: str


class OperatorRecordPage(TypedDict):
    """A page of operators' actions, newest first."""

    actions: list[OperatorRecord]
    nextCursor: str | None


class Replayed(TypedDict):
    """The number of dead letters that matched, and of those that were replayed."""

    matched: int
    replayed: int
