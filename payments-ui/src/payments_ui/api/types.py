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
    reversedAmount: str
    deadLetter: bool


class PaymentPage(TypedDict):
    """A page of payments."""

    payments: list[Payment]
    nextCursor: str | None
    previousCursor: str | None
    searchedUntil: str | None


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
    postingKind: Literal["payment", "reversal", "adjustment"]
    entryType: Literal["payment", "reversal", "adjustment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: str
    accountSeq: int | None
    balanceAfter: str | None
    createdAt: str


class Settlement(TypedDict):
    """The statement line by which the bank confirms a payment."""

    bookedOn: str
    matchedAt: str
    rule: Literal["reference", "bank_reference", "batch_sum", "amount_and_date", "manual"]
    source: str | None
    statementFileId: str | None
    lineId: str | None
    matchId: str | None


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
    reversedAmount: str
    deadLetter: bool
    idempotencyKey: str
    traceparent: str | None
    updatedAt: str
    job: JobOfPayment | None
    reconciliation: Reconciliation | None
    ledgerEntries: list[LedgerEntry] | None
    settlement: Settlement | None


class Balance(TypedDict):
    """An account's balance, which reversals may take below zero; without entries it is 0.00."""

    accountId: str
    balance: str
    currency: str
    sequence: int
    pending: NotRequired[str | None]
    at: NotRequired[str | None]


class Currencies(TypedDict):
    """The currencies in which an account has ledger entries."""

    currencies: list[str]


class StatementEntry(TypedDict):
    """A ledger entry with its payment's id, reference, metadata and source."""

    id: int | None
    accountId: str
    currency: str
    postingKind: Literal["payment", "reversal", "adjustment"]
    entryType: Literal["payment", "reversal", "adjustment", "clearing"]
    direction: Literal["credit", "debit"]
    amount: str
    accountSeq: int | None
    balanceAfter: str | None
    createdAt: str
    paymentId: str | None
    adjustmentId: str | None
    reversalId: str | None
    reference: str | None
    metadata: dict[str, str]
    source: str | None


class Statement(TypedDict):
    """A page of an account's ledger entries in a currency."""

    entries: list[StatementEntry]
    nextCursor: str | None
    previousCursor: str | None


class Total(TypedDict):
    """Number and sum of the payments in one currency, whatever their status."""

    currency: str
    payments: int
    amount: str


class PaymentTotals(TypedDict):
    """Number and sum of a list's payments by currency."""

    totals: list[Total]
    examinedMax: int
    complete: bool


class AccountTotal(TypedDict):
    """Number of the accounts in one currency, and the sum of their balances."""

    currency: str
    accounts: int
    balance: str


class AccountTotals(TypedDict):
    """Totals of a list of accounts by currency; none, and not `complete`, if there are too many."""

    totals: list[AccountTotal]
    examinedMax: int
    complete: bool


class BalancePoint(TypedDict):
    """An account's balance after one of its ledger entries."""

    at: str
    balance: str
    accountSeq: int


class BalanceHistory(TypedDict):
    """An account's balance over time, oldest first, by at most `limit` of its ledger entries."""

    accountId: str
    currency: str
    entries: int
    points: list[BalancePoint]


class Account(TypedDict):
    """An account in one of its currencies, with its balance."""

    accountId: str
    currency: str
    balance: str


class AccountPage(TypedDict):
    """A page of accounts, by name and currency."""

    accounts: list[Account]
    nextCursor: str | None
    previousCursor: str | None


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


class Offender(TypedDict):
    """A row that violates an invariant. Only the fields that identify it are set."""

    paymentId: str | None
    accountId: str | None
    currency: str | None
    jobId: int | None


class Invariant(TypedDict):
    """A promise that the auditor checks; `offending` counts the rows that violate it."""

    name: str
    title: str
    description: str
    ok: bool
    offending: int
    offenders: list[Offender]


class Audit(TypedDict):
    """The auditor's latest findings; before the first audit, no invariants and no time."""

    checkedAt: str | None
    mode: Literal["incremental", "full"] | None
    invariants: list[Invariant]


class Job(TypedDict):
    """A job of the queue; a failed job is a dead letter. A reversal's job has a `reversalId`."""

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
    reversalId: str | None
    accountId: str | None
    amount: str | None
    currency: str | None
    priority: int
    lockedUntil: str | None


class JobPage(TypedDict):
    """A page of jobs, newest first."""

    jobs: list[Job]
    nextCursor: str | None
    previousCursor: str | None


class OperatorRecord(TypedDict):
    """An operator's action. `jobIds` are the dead letters, `paymentId` the payment concerned."""

    id: int
    action: Literal[
        "create",
        "reverse",
        "replay",
        "discard",
        "create_key",
        "rotate_key",
        "revoke_key",
        "add_source",
        "receive_statement",
        "accept_statement",
        "reject_statement",
        "match",
        "undo_match",
        "undo_run",
        "explain",
        "ignore",
        "reopen",
        "annotate",
        "propose_adjustment",
        "approve_adjustment",
        "reject_adjustment",
        "create_webhook",
        "change_webhook",
        "rotate_webhook",
        "delete_webhook",
        "disable_webhook",
        "test_webhook",
        "resend_webhook",
    ]
    actor: str
    keyName: str | None
    reason: str
    jobIds: list[int]
    paymentId: str | None
    subject: str | None
    traceId: str | None
    createdAt: str


class OperatorRecordPage(TypedDict):
    """A page of operators' actions, newest first."""

    actions: list[OperatorRecord]
    nextCursor: str | None
    previousCursor: str | None


class DeadLetterGroup(TypedDict):
    """The dead letters whose errors differ in numbers and UUIDs only, with the newest five."""

    error: str
    count: int
    firstFailedAt: str
    lastFailedAt: str
    newest: list[Job]


class DeadLetterGroups(TypedDict):
    """Dead letters by error, the latest failure first."""

    groups: list[DeadLetterGroup]
    incomplete: bool


class Seal(TypedDict):
    """The head of the chain of seals and the state of its verification."""

    headSeq: int
    headHash: str | None
    signed: bool
    sealedAt: str | None
    unsealedEntries: int
    unsealedAgeSeconds: float | None
    verifiedSeq: int
    verifiedAt: str | None
    passCompletedAt: str | None
    problem: str | None
    problemSeq: int | None
    problemAt: str | None


class CreatedReversal(TypedDict):
    """The reversal as created; a replay returns the same bytes."""

    id: str
    paymentId: str
    accountId: str
    amount: str
    currency: str
    reason: str
    reference: str | None
    metadata: dict[str, str]
    status: Literal["pending"]
    createdAt: str


class Reversal(TypedDict):
    """A reversal with its current status; `ledgerEntries` is null for a key without ledger:read."""

    id: str
    paymentId: str
    accountId: str
    amount: str
    currency: str
    reason: str
    reference: str | None
    metadata: dict[str, str]
    status: Literal["pending", "completed", "failed"]
    createdAt: str
    settledAt: str | None
    idempotencyKey: str
    notes: str | None
    ledgerEntries: list[LedgerEntry] | None


class ReversalPage(TypedDict):
    """A page of a payment's reversals, newest first."""

    reversals: list[Reversal]
    nextCursor: str | None
    previousCursor: str | None


class Replayed(TypedDict):
    """The dead letters that matched, and the number of those that were replayed."""

    matched: int
    skipped: int
    jobIds: list[int]
    replayed: int


class Discarded(TypedDict):
    """The dead letters that matched, and the number of those that were discarded."""

    matched: int
    skipped: int
    jobIds: list[int]
    discarded: int


class StatementFile(TypedDict):
    """A received file. A quarantined one names the problem and its place."""

    id: str
    source: str
    fileName: str | None
    sizeBytes: int
    sha256: str
    status: Literal["received", "accepted", "quarantined", "rejected"]
    format: str | None
    encoding: str | None
    problemCode: (
        Literal[
            "malformed", "account", "currency", "date", "balance", "chain", "overlap", "unfinished"
        ]
        | None
    )
    problem: str | None
    problemAt: str | None
    actor: str
    acceptedBy: str | None
    acceptReason: str | None
    createdAt: str
    decidedAt: str | None


class StatementFilePage(TypedDict):
    """A page of received files, newest first."""

    statements: list[StatementFile]
    nextCursor: str | None
    previousCursor: str | None


class BankStatement(TypedDict):
    """A statement in a file. `knownCount` of its lines came with an earlier statement."""

    number: int
    kind: Literal["statement", "report", "notification"]
    bankId: str | None
    sequence: str | None
    fromOn: str
    toOn: str
    opening: str | None
    closing: str | None
    net: str
    entryCount: int
    lineCount: int
    knownCount: int


class StatementFileDetail(TypedDict):
    """A received file with its statements."""

    id: str
    source: str
    fileName: str | None
    sizeBytes: int
    sha256: str
    status: Literal["received", "accepted", "quarantined", "rejected"]
    format: str | None
    encoding: str | None
    problemCode: (
        Literal[
            "malformed", "account", "currency", "date", "balance", "chain", "overlap", "unfinished"
        ]
        | None
    )
    problem: str | None
    problemAt: str | None
    actor: str
    acceptedBy: str | None
    acceptReason: str | None
    createdAt: str
    decidedAt: str | None
    statements: list[BankStatement]


class StatementLine(TypedDict):
    """A movement of the account; a credit is positive. Parts of a batch have a `partNo` from 1."""

    id: str
    statement: int
    lineNo: int
    partNo: int
    amount: str
    currency: str
    bookedOn: str
    valuedOn: str | None
    endToEnd: str | None
    bankRef: str | None
    batchRef: str | None
    code: str | None
    reversal: bool
    returnReason: str | None
    counterparty: str | None
    remittance: str | None
    charges: str | None
    originalAmount: str | None
    originalCurrency: str | None
    booking: Literal["booked", "pending", "information"]
    status: Literal["unmatched", "suggested", "matched", "explained", "returned", "ignored"]
    statusReason: str | None


class StatementLinePage(TypedDict):
    """A page of a file's new lines, in its order."""

    lines: list[StatementLine]
    nextCursor: str | None
    previousCursor: str | None


class BridgeLines(TypedDict):
    """From our balance to the bank's: all but the last two sum to `closingOfBank`."""

    openingOfBank: str
    ourBalance: str
    pending: str
    missingInBank: str
    inTransit: str
    unmatchedLines: str
    explainedLines: str
    ignoredLines: str
    linesAheadOfUs: str
    acceptedDifferences: str
    closingOfBank: str
    residual: str


class BridgeCounts(TypedDict):
    """The numbers of entries and lines in the bridge."""

    pending: int
    missing: int
    inTransit: int
    unmatchedLines: int
    lateLines: int
    setAside: int


class ReconciliationReport(TypedDict):
    """The reconciliation of a source's day. `asOf` tells pending entries from missing ones."""

    source: str
    currency: str
    on: str
    asOf: str
    verdict: Literal["reconciled", "reconciled_with_pending", "breaks", "incomplete"]
    incompleteBecause: str | None
    bridge: BridgeLines
    counts: BridgeCounts


class Candidate(TypedDict):
    """An open entry or line that might match: of the same reference, else of the same amount."""

    id: str
    amount: str
    reference: str | None
    bookedOn: str


class ProposedReversal(TypedDict):
    """The reversal of the payment that a line returns. Create it with this amount and reference."""

    paymentId: str
    amount: str
    reference: str


class LineDetail(TypedDict):
    """A line with its match or, while it is open, its candidates and why no rule matched it."""

    id: str
    statement: int
    lineNo: int
    partNo: int
    amount: str
    currency: str
    bookedOn: str
    valuedOn: str | None
    endToEnd: str | None
    bankRef: str | None
    batchRef: str | None
    code: str | None
    reversal: bool
    returnReason: str | None
    counterparty: str | None
    remittance: str | None
    charges: str | None
    originalAmount: str | None
    originalCurrency: str | None
    booking: Literal["booked", "pending", "information"]
    status: Literal["unmatched", "suggested", "matched", "explained", "returned", "ignored"]
    statusReason: str | None
    statementFileId: str
    matchId: str | None
    whyNot: str | None
    candidates: list[Candidate]
    proposedReversal: ProposedReversal | None


class OpenEntry(TypedDict):
    """A clearing entry in no match; it is missing in the bank after `breakOn`."""

    id: str
    paymentId: str | None
    adjustmentId: str | None
    amount: str
    currency: str
    bookedOn: str
    reference: str
    breakOn: str


class OpenEntryPage(TypedDict):
    """A page of a source's open entries, the first due first."""

    entries: list[OpenEntry]
    nextCursor: str | None
    previousCursor: str | None


class SourceLine(TypedDict):
    """A line with the file that it came with."""

    id: str
    statement: int
    lineNo: int
    partNo: int
    amount: str
    currency: str
    bookedOn: str
    valuedOn: str | None
    endToEnd: str | None
    bankRef: str | None
    batchRef: str | None
    code: str | None
    reversal: bool
    returnReason: str | None
    counterparty: str | None
    remittance: str | None
    charges: str | None
    originalAmount: str | None
    originalCurrency: str | None
    booking: Literal["booked", "pending", "information"]
    status: Literal["unmatched", "suggested", "matched", "explained", "returned", "ignored"]
    statusReason: str | None
    statementFileId: str


class SourceLinePage(TypedDict):
    """A page of a source's open lines, in the order of their import."""

    lines: list[SourceLine]
    nextCursor: str | None
    previousCursor: str | None


class MatchedEntry(TypedDict):
    """A clearing entry of a match; money in is positive."""

    id: str
    paymentId: str | None
    adjustmentId: str | None
    amount: str
    currency: str
    bookedOn: str


class Match(TypedDict):
    """A match with the first of its lines and entries."""

    id: str
    runId: str | None
    rule: Literal["reference", "bank_reference", "batch_sum", "amount_and_date", "manual"]
    score: int
    why: str
    actor: str | None
    createdAt: str
    undoneAt: str | None
    undoneBy: str | None
    undoneReason: str | None
    amount: str
    lineCount: int
    entryCount: int
    lines: list[SourceLine]
    entries: list[MatchedEntry]


class ListedMatch(TypedDict):
    """A match by a rule or a person; its lines and its entries sum to the amount."""

    id: str
    runId: str | None
    rule: Literal["reference", "bank_reference", "batch_sum", "amount_and_date", "manual"]
    score: int
    why: str
    actor: str | None
    createdAt: str
    undoneAt: str | None
    undoneBy: str | None
    undoneReason: str | None
    amount: str


class MatchPage(TypedDict):
    """A page of a source's matches, newest first; a short page may not be the last."""

    matches: list[ListedMatch]
    nextCursor: str | None
    previousCursor: str | None


class Webhook(TypedDict):
    """An endpoint to which events are sent."""

    id: str
    tenant: str | None
    url: str
    types: list[str]
    description: str
    enabled: bool
    disabledReason: Literal["operator", "gone", "failing"] | None
    failingSince: str | None
    previousSecretExpiresAt: str | None
    createdAt: str


class WebhookPage(TypedDict):
    """A page of endpoints, newest first."""

    webhooks: list[Webhook]
    nextCursor: str | None
    previousCursor: str | None


class WebhookWithSecret(TypedDict):
    """An endpoint with its new secret, which is shown this once."""

    id: str
    tenant: str | None
    url: str
    types: list[str]
    description: str
    enabled: bool
    disabledReason: Literal["operator", "gone", "failing"] | None
    failingSince: str | None
    previousSecretExpiresAt: str | None
    createdAt: str
    secret: str


class Delivery(TypedDict):
    """An event sent to an endpoint, with the outcome of the last attempt."""

    id: str
    endpointId: str
    eventId: str
    type: Literal[
        "payment.completed",
        "payment.failed",
        "reversal.completed",
        "reversal.failed",
        "job.dead",
        "webhook.disabled",
        "webhook.test",
    ]
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    nextAttemptAt: str | None
    createdAt: str
    finishedAt: str | None
    lastAttemptAt: str | None
    durationSeconds: float | None
    statusCode: int | None
    answer: str | None
    error: str | None


class DeliveryPage(TypedDict):
    """A page of an endpoint's deliveries, newest first."""

    deliveries: list[Delivery]
    nextCursor: str | None
    previousCursor: str | None


class Attempt(TypedDict):
    """One attempt of a delivery: the status and begin of the answer, or the error."""

    number: int
    startedAt: str
    durationSeconds: float
    statusCode: int | None
    answer: str | None
    error: str | None


class DeliveryDetail(TypedDict):
    """A delivery with its body, byte for byte, and its latest 100 attempts, oldest first."""

    id: str
    endpointId: str
    eventId: str
    type: Literal[
        "payment.completed",
        "payment.failed",
        "reversal.completed",
        "reversal.failed",
        "job.dead",
        "webhook.disabled",
        "webhook.test",
    ]
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    nextAttemptAt: str | None
    createdAt: str
    finishedAt: str | None
    lastAttemptAt: str | None
    durationSeconds: float | None
    statusCode: int | None
    answer: str | None
    error: str | None
    body: str
    attemptLog: list[Attempt]


class Resent(TypedDict):
    """The number of deliveries that are sent again; with 1,000, ask again for the rest."""

    resent: int
