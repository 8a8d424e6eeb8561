"""Jobs, their groups and decisions about them, as the API shows them."""

from typing import Any

from payments_api.operations.requests import Selection
from payments_core.db.engine import AnyRow
from payments_core.domain.money import amount_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.queue.dead_letter_groups import DeadLetterGroup


def job_json(job: AnyRow) -> dict[str, Any]:
    """Return a job with the account and amount of its payment or reversal."""
    return {
        "id": job.id,
        "paymentId": str(job.payment_id),
        "reversalId": job.reversal_id and str(job.reversal_id),
        "accountId": job.account_id,
        "amount": None if job.amount is None else amount_text(job.amount),
        "currency": job.currency,
        "status": job.status,
        "priority": job.priority,
        "attempts": job.attempts,
        "maxAttempts": job.max_attempts,
        "runAt": utc_text(job.run_at),
        "lockedBy": job.locked_by,
        "lockedAt": time_or_none(job.locked_at),
        "lockedUntil": time_or_none(job.locked_until),
        "lastError": job.last_error,
        "createdAt": utc_text(job.created_at),
        "updatedAt": utc_text(job.updated_at),
    }


def group_json(group: DeadLetterGroup) -> dict[str, Any]:
    """Return the dead letters of one error."""
    return {
        "error": group.error,
        "count": group.jobs,
        "firstFailedAt": utc_text(group.first_failed_at),
        "lastFailedAt": utc_text(group.last_failed_at),
        "newest": [job_json(job) for job in group.newest],
    }


def action_json(action: AnyRow) -> dict[str, Any]:
    """Return an operator's decision about dead letters."""
    return {
        "id": action.id,
        "action": action.action,
        "actor": action.actor,
        "reason": action.reason,
        "jobIds": action.job_ids,
        "createdAt": utc_text(action.created_at),
    }


def bulk_json(selection: Selection, done: str, ids: list[int], number: int) -> dict[str, Any]:
    """Return the outcome of a bulk action on these jobs, or in a dry run the expected outcome."""
    skipped = len(set(selection.job_ids or ids) - set(ids))
    return {"matched": len(ids), done: number, "skipped": skipped, "jobIds": ids}
