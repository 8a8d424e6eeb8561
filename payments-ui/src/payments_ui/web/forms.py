"""Form fields: text, times and the errors that several pages show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.web.formatting import parse_time


@dataclass(kw_only=True)
class Refusable:
    """What a form shows about a request that the API rejected or did not answer."""

    labels: ClassVar[Mapping[str, str]]  # The API's field -> its name on the page.
    errors: dict[str, str] = field(default_factory=dict)  # Field name -> sentence.
    refusal_title: str = ""
    refusal: str = ""

    def take_error(self, error: ApiProblem | ApiUnavailable) -> int:
        """Show the API's error; return the status of the response."""
        if isinstance(error, ApiUnavailable):
            self.refusal_title = f"The payments service {error.why}."
            self.refusal = "Nothing was changed. Try again."
            if error.sent:
                self.refusal = "The outcome is unknown: look at the list before you try again."
            return 503
        for name, detail in error.fields.items():
            known = name.partition(".")[0]
            if known in self.labels:
                self.errors[known] = as_sentence(self.labels[known], detail)
        if not self.errors:
            self.refusal_title, self.refusal = error.title, error.detail
            if error.detail == error.title:
                self.refusal = ""
        return error.status

    def expire(self) -> None:
        """Say that the form's token does not hold."""
        self.refusal_title = "This form has expired."
        self.refusal = "Nothing was changed. Check your input and send it again."


def text_of(form: Mapping[str, str], name: str) -> str:
    """Return a field's text without surrounding blanks; an absent field is empty.

    Neither this function nor the browser shortens it: the API rejects text that is too long.
    """
    return form.get(name, "").strip()


def as_sentence(label: str, detail: str) -> str:
    """Turn "must not be empty" into "Amount must not be empty."; full sentences stay."""
    text = detail.strip().rstrip(".")
    if not text:
        return f"{label} is not valid."
    return f"{text}." if text[0].isupper() else f"{label} {text}."


def utc_minute(text: str) -> str:
    """Return a time in the form of the page's URLs, "2026-11-22T20:00" in UTC; else ""."""
    at = parse_time(text) if text else None
    # Not strftime: its %Y writes the year 999 with three digits, which no parser accepts.
    return at.replace(tzinfo=None).isoformat(timespec="minutes") if at else ""


def api_time(text: str) -> str:
    """Return a time in the API's form, "2026-11-22T20:00:00Z"; "" for anything else."""
    at = parse_time(text) if text else None
    return at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z" if at else ""
