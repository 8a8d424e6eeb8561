"""Statuses, operators' actions and limits that services share: each defined once.

The types and the tuples of the same name hold the same words, in the order of a life.
"""

from typing import Literal, get_args

PENDING, COMPLETED, FAILED = "pending", "completed", "failed"

# A payment is created pending and stays open until it settles. An open payment has an unfinished
# job, no result and no posting, and may change its status; a settled one never changes. The
# database knows them apart by settled_at, and code by SETTLED_STATUSES: a status that is not
# listed here, of a newer release, is open.
OpenStatus = Literal["pending"]
SettledStatus = Literal["completed", "failed"]
PaymentStatus = Literal[OpenStatus, SettledStatus]
OPEN_STATUSES: tuple[OpenStatus, ...] = get_args(OpenStatus)
SETTLED_STATUSES: tuple[SettledStatus, ...] = get_args(SettledStatus)
PAYMENT_STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)

JobStatus = Literal["pending", "processing", "completed", "failed"]  # failed: a dead letter.
JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)

ResultStatus = Literal["completed", "completed_with_discrepancy", "failed"]
RESULT_STATUSES: tuple[ResultStatus, ...] = get_args(ResultStatus)

JobAction = Literal["replay", "discard"]
JOB_ACTIONS: tuple[JobAction, ...] = get_args(JobAction)

OperatorAction = Literal[
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
OPERATOR_ACTIONS: tuple[OperatorAction, ...] = get_args(OperatorAction)

OPERATOR_MAX_CHARS = 200
REASON_MAX_CHARS = 1000
REPLAY_JOBS_MAX = 1_000  # In one transaction.
ERROR_FILTER_MAX_CHARS = 500  # The text of the filter for dead letters.

# A worker is alive if its last heartbeat is at most this old: three missed ones and a margin.
WORKER_ALIVE_SECONDS = 20
