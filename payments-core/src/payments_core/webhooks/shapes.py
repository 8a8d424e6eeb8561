"""Endpoints, deliveries and attempts as JSON: one shape for the API and the command line."""

from typing import Any

from payments_core.db.engine import AnyRow
from payments_core.domain.payments import time_or_none, utc_text


def endpoint_json(row: AnyRow) -> dict[str, Any]:
    """Return an endpoint, without its secrets."""
    return {
        "id": str(row.id),
        "tenant": row.tenant,
        "url": row.url,
        "types": list(row.types),
        "description": row.description,
        "enabled": row.enabled_at is not None,
        "disabledReason": row.disabled_reason,
        "failingSince": time_or_none(row.failing_since),
        "previousSecretExpiresAt": time_or_none(row.previous_secret_expires_at),
        "createdAt": utc_text(row.created_at),
    }


def delivery_json(row: AnyRow) -> dict[str, Any]:
    """Return a delivery with its last attempt."""
    return {
        "id": str(row.id),
        "endpointId": str(row.endpoint_id),
        "eventId": row.event_id,
        "type": row.type,
        "status": row.status,
        "attempts": row.attempts,
        "nextAttemptAt": utc_text(row.next_attempt_at) if row.status == "pending" else None,
        "createdAt": utc_text(row.created_at),
        "finishedAt": time_or_none(row.finished_at),
        "lastAttemptAt": time_or_none(row.last_attempt_at),
        "durationSeconds": row.duration_seconds,
        "statusCode": row.status_code,
        "answer": row.answer,
        "error": row.error,
    }


def attempt_json(row: AnyRow) -> dict[str, Any]:
    """Return an attempt: the status and begin of the answer, or the error."""
    return {
        "number": row.number,
        "startedAt": utc_text(row.started_at),
        "durationSeconds": row.duration_seconds,
        "statusCode": row.status_code,
        "answer": row.answer,
        "error": row.error,
    }
