"""Schemas of adjustments."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from payments_api.http.schemas import Amount, CurrencyCode, Cursor, PreviousCursor, Shape
from payments_api.matching.schemas import ItemId
from payments_api.operations.requests import SOMETHING, ActionRequest, DiscardRequest, Reason
from payments_core.domain.matching import (
    ADJUSTMENT_REASON_MAX_CHARS,
    AdjustmentKind,
    AdjustmentStatus,
)
from payments_core.matching.adjustments import ENTRIES_MAX


class AdjustmentRequest(DiscardRequest):
    """A line to explain, with the open entries that it pays for; the rest of it is the amount."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"line": "7", "entries": ["12"], "kind": "fee", "reason": "The bank's charges"}
            ]
        }
    )

    line: ItemId
    entries: Annotated[list[ItemId], Field(max_length=ENTRIES_MAX)] = []  # noqa: RUF012 - copied.
    kind: AdjustmentKind
    reason: Annotated[
        Reason, Field(min_length=1, max_length=ADJUSTMENT_REASON_MAX_CHARS, pattern=SOMETHING)
    ]


class AdjustmentApproval(ActionRequest):
    """The approval, with a reason if there is one."""


class AdjustmentRejection(DiscardRequest):
    """The rejection and its reason."""


class Adjustment(Shape):
    """A posting that explains a line. Money in is positive.

    proposed: waits for another person; approved: the worker posts it within seconds; posted: its
    legs are in the ledger and its line is matched; failed: `failure` says which item was taken.
    """

    id: UUID
    kind: AdjustmentKind
    amount: Amount
    currency: CurrencyCode
    account_id: str
    line_id: ItemId
    entry_ids: list[ItemId]
    reason: str
    status: AdjustmentStatus
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    settled_at: datetime | None
    failure: str | None


class AdjustmentPage(Shape):
    """A page of a source's adjustments, newest first."""

    adjustments: list[Adjustment]
    next_cursor: Cursor
    previous_cursor: PreviousCursor
