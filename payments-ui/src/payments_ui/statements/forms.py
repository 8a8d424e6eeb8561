"""Operators' decisions on statements: the question, the fields and the message of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from payments_core.domain.matching import NOTE_MAX_CHARS
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.web.confirm_form import ConfirmForm
from payments_ui.web.forms import text_of


@dataclass(frozen=True)
class Act:
    """An act as its confirmation shows it."""

    title: str
    text: str
    button: str
    done: str
    danger: bool = False


ACTS = {
    "explain": Act(
        "Explain this line?",
        "It is known, such as a fee of the bank, and needs no entry of ours.",
        "Explain",
        "Explained the line.",
    ),
    "ignore": Act(
        "Ignore this line?", "It is not ours. It stays on record.", "Ignore", "Ignored the line."
    ),
    "reopen": Act(
        "Open this line again?",
        "A rule or a person can match it.",
        "Open again",
        "Opened the line.",
    ),
    "undo": Act(
        "Undo this match?",
        "Its lines and entries are open as before. No run makes this match again.",
        "Undo",
        "Undid the match.",
        danger=True,
    ),
    "match": Act(
        "Match them?",
        "The lines and the entries must have equal sums: one line or one entry on a side at least.",
        "Match",
        "Matched.",
    ),
    "adjust": Act(
        "Propose an adjustment?",
        "The difference between line and ticked entries is posted once another person approves.",
        "Propose",
        "Proposed the adjustment: another person has to approve it.",
    ),
    "approve": Act(
        "Approve this adjustment?",
        "It is posted to the ledger within seconds, and its line is matched. You must not be the"
        " person who proposed it.",
        "Approve",
        "Approved the adjustment: it is posted now.",
    ),
    "decline": Act(
        "Reject this adjustment?",
        "Nothing is posted. The line stays open.",
        "Reject",
        "Rejected the adjustment.",
        danger=True,
    ),
    "accept": Act(
        "Import this file?",
        "It does not add up. You vouch for it by name, and it is imported whole.",
        "Accept",
        "Accepted the file: it is imported now.",
    ),
    "retry": Act(
        "Try to import this file again?",
        "Its import ended several times without a result. First see that the worker has memory for"
        " it.",
        "Try again",
        "The file is imported again now.",
    ),
    "reject": Act(
        "Reject this file?",
        "It is never imported. Its bytes stay on record.",
        "Reject",
        "Rejected the file.",
        danger=True,
    ),
}


@dataclass
class AnnotateForm:
    """Assignee and note of a break as typed, the operator, and the errors."""

    assignee: str = ""
    note: str = ""
    confirm: ConfirmForm = field(default_factory=ConfirmForm)

    @classmethod
    def read(cls, form: Mapping[str, str], operator: str | None) -> "AnnotateForm":
        """Read the submitted form and check it."""
        confirm = ConfirmForm.read(form, operator, reason_required=False)
        read = cls(text_of(form, "assignee"), text_of(form, "note"), confirm)
        if len(read.assignee) > OPERATOR_MAX_CHARS:
            limit = f"at most {OPERATOR_MAX_CHARS} characters"
            confirm.errors["assignee"] = f"The assignee must have {limit}."
        if len(read.note) > NOTE_MAX_CHARS:
            confirm.errors["note"] = f"The note must have at most {NOTE_MAX_CHARS} characters."
        return read

    def as_body(self) -> dict[str, str]:
        """Return the API's fields; an empty one removes what is there."""
        body = {"assignee": self.assignee, "note": self.note}
        return body if self.confirm.signed_in else {"actor": self.confirm.actor, **body}

    def take_error(self, error: ApiProblem | ApiUnavailable) -> int:
        """Show the API's error; return the status of the response."""
        return self.confirm.take_error(error)
