"""Schemas of the requests that act on lines, matches and breaks."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from payments_api.matching.schemas import ItemId
from payments_api.operations.requests import NO_NUL, ActionRequest, DiscardRequest
from payments_core.domain.matching import HAND_LEGS_MAX, NOTE_MAX_CHARS
from payments_core.domain.statuses import OPERATOR_MAX_CHARS

Items = Annotated[list[ItemId], Field(min_length=1, max_length=HAND_LEGS_MAX)]
Assignee = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=OPERATOR_MAX_CHARS, pattern=NO_NUL)
]
Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=NOTE_MAX_CHARS, pattern=NO_NUL)
]


class LineRequest(DiscardRequest):
    """The operator and the reason to record for a line that is set aside or opened again."""


class UndoRequest(DiscardRequest):
    """The operator and the reason to record for a match that is undone."""


class MatchRequest(DiscardRequest):
    """Lines and entries of equal sums: one of at least one side, at most 100 in all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lines": ["7"], "entries": ["12", "14"], "reason": "One transfer for two"}
            ]
        }
    )

    lines: Items
    entries: Items


class AnnotateRequest(ActionRequest):
    """A break's assignee, note, or both; an absent one stays, an empty one is removed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"assignee": "ada"}]})

    assignee: Assignee | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "AnnotateRequest":
        if self.assignee is None and self.note is None:
            raise ValueError("needs an assignee or a note")
        return self
