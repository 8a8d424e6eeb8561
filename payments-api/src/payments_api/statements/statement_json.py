"""JSON of sources, files, statements and lines, as the caller knows them."""

import re
from decimal import Decimal
from typing import Any

from payments_api.auth.item_ids import ItemIds
from payments_api.auth.middleware import caller
from payments_core.db.engine import AnyRow
from payments_core.domain.money import amount_text, currency_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.statements import sources as source_rows

_ENTRY = re.compile(r"\Aentry ([0-9]{1,19})\b")


def shown_name(name: str, tenant: str | None) -> str:
    """Return a source's name as the caller knows it."""
    return source_rows.stored_source_name(name, None if caller().tenant else tenant)


def source_json(row: AnyRow) -> dict[str, Any]:
    """Return a source."""
    return {
        "name": shown_name(row.name, row.tenant),
        "accountIdentifier": row.account_identifier,
        "currency": row.currency,
        "format": row.format,
        "profile": row.profile,
        "channel": row.channel,
        "timeZone": row.time_zone,
        "graceDays": row.grace_days,
        "createdAt": utc_text(row.created_at),
    }


def file_json(row: AnyRow) -> dict[str, Any]:
    """Return a received file."""
    return {
        "id": str(row.id),
        "source": shown_name(row.source_name, row.tenant),
        "fileName": row.file_name,
        "sizeBytes": row.size_bytes,
        "sha256": row.sha256.hex(),
        "status": row.status,
        "format": row.format,
        "encoding": row.encoding,
        "problemCode": row.problem_code,
        "problem": row.problem,
        "problemAt": row.problem_at,
        "actor": row.actor,
        "acceptedBy": row.accepted_by,
        "acceptReason": row.accept_reason,
        "createdAt": utc_text(row.created_at),
        "decidedAt": time_or_none(row.decided_at),
    }


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else amount_text(amount)


def statement_json(row: AnyRow) -> dict[str, Any]:
    """Return a statement in a file."""
    return {
        "number": row.number,
        "kind": row.kind,
        "bankId": row.bank_id,
        "sequence": row.sequence,
        "fromOn": row.from_on.isoformat(),
        "toOn": row.to_on.isoformat(),
        "opening": _amount(row.opening),
        "closing": _amount(row.closing),
        "net": _amount(row.net),
        "entryCount": row.entry_count,
        "lineCount": row.line_count,
        "knownCount": row.known_count,
    }


def _status_reason(row: AnyRow, ids: ItemIds) -> str | None:
    """Return the reason of a line's status; a rule's suggestion names an entry by its number."""
    reason: str | None = row.status_reason
    if reason is None or row.status != "suggested":
        return reason
    return _ENTRY.sub(lambda found: f"entry {ids.shown('entry', int(found[1]))}", reason)


def line_json(row: AnyRow, ids: ItemIds) -> dict[str, Any]:
    """Return a line with its place in its file; the row has the statement's number."""
    return {
        "id": ids.shown("line", row.id),
        "statement": row.number,
        "lineNo": row.line_no,
        "partNo": row.part_no,
        "amount": currency_text(row.amount, row.currency),
        "currency": row.currency,
        "bookedOn": row.booked_on.isoformat(),
        "valuedOn": None if row.valued_on is None else row.valued_on.isoformat(),
        "endToEnd": row.end_to_end,
        "bankRef": row.bank_ref,
        "batchRef": row.batch_ref,
        "code": row.code,
        "reversal": row.reversal,
        "returnReason": row.return_reason,
        "counterparty": row.counterparty,
        "remittance": row.remittance,
        "charges": None if row.charges is None else currency_text(row.charges, row.currency),
        "originalAmount": _amount(row.original_amount),
        "originalCurrency": row.original_currency,
        "booking": row.booking,
        "status": row.status,
        "statusReason": _status_reason(row, ids),
    }
