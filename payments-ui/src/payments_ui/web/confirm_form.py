"""The form that confirms an operator's action: name and reason, both recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

from quart import Response, session

from payments_core.domain.statuses import OPERATOR_MAX_CHARS, REASON_MAX_CHARS
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.web.forms import Refusable
from payments_ui.web.responses import leave_with

LABELS = {"actor": "Your name", "reason": "Reason"}


@dataclass
class ConfirmForm(Refusable):
    """Name and reason as typed, and the errors. The form asks a signed-in operator for no name."""

    labels = LABELS
    actor: str = ""
    reason: str = ""
    signed_in: bool = False

    @classmethod
    def of(cls, operator: str | None) -> "ConfirmForm":
        """Return a form with the operator's name: signed in, or last used in this browser."""
        return cls(operator or session.get("actor", ""))

    @classmethod
    def read(
        cls, form: Mapping[str, str], operator: str | None, *, reason_required: bool
    ) -> "ConfirmForm":
        """Read the submitted form and check it."""
        actor = operator or form.get("actor", "").strip()
        read = cls(actor, form.get("reason", "").strip(), operator is not None)
        if not read.actor:
            read.errors["actor"] = "Your name is required for the audit log."
        if len(read.actor) > OPERATOR_MAX_CHARS:
            read.errors["actor"] = f"Your name must have at most {OPERATOR_MAX_CHARS} characters."
        if reason_required and not read.reason:
            read.errors["reason"] = "A reason is required: it stays on record."
        if len(read.reason) > REASON_MAX_CHARS:
            read.errors["reason"] = f"The reason must have at most {REASON_MAX_CHARS} characters."
        return read

    def as_body(self) -> dict[str, str]:
        """Return the fields of the API's request; a header carries a signed-in operator's name."""
        reason = {"reason": self.reason}
        return reason if self.signed_in else {"actor": self.actor, **reason}

    def take_error(self, error: ApiProblem | ApiUnavailable) -> int:
        """Show the API's error; return the status of the response."""
        status = super().take_error(error)
        if isinstance(error, ApiUnavailable):
            self.refusal = f"The payments service {error.why}."
            if error.sent:
                self.refusal_title = "The outcome is unknown."
                self.refusal += " Look in the audit log before you repeat the action."
            else:
                self.refusal_title = "Nothing was changed."
                self.refusal += " Try again."
        elif not self.errors:
            self.refusal_title, self.refusal = "The action was rejected.", error.detail
        return status

    def leave(self, message: str, path: str) -> Response:
        """Lead to a page that shows the message once, and remember the operator's name."""
        session["actor"] = self.actor
        session.permanent = True
        return leave_with(message, path)
