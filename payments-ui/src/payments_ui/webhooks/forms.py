"""The forms of webhooks: an endpoint's fields, and the confirmation of an act."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.datastructures import MultiDict

from payments_core.domain.events import EVENT_TYPES
from payments_core.domain.webhooks import RETRIED_DAYS, ROTATION_HOURS, ROTATION_HOURS_MAX
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.types import Webhook
from payments_ui.web.forms import api_time, as_sentence, text_of, utc_minute

LABELS = {
    "url": "The URL",
    "types": "Events",
    "description": "Description",
    "tenant": "Tenant",
    "graceHours": "Hours",
    "since": "Since",
}


@dataclass
class Refusable:
    """What a form shows about a request that the API rejected or did not answer."""

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
            if known in LABELS:
                self.errors[known] = as_sentence(LABELS[known], detail)
        if not self.errors:
            self.refusal_title, self.refusal = error.title, error.detail
            if error.detail == error.title:
                self.refusal = ""
        return error.status

    def expire(self) -> None:
        """Say that the form's token does not hold."""
        self.refusal_title = "This form has expired."
        self.refusal = "Nothing was changed. Check your input and send it again."


@dataclass
class WebhookForm(Refusable):
    """An endpoint's fields as typed. No types are all events."""

    url: str = ""
    types: tuple[str, ...] = ()
    description: str = ""
    tenant: str = ""

    @classmethod
    def read(cls, form: MultiDict[str, str]) -> "WebhookForm":
        """Read the submitted form."""
        types = tuple(name for name in EVENT_TYPES if name in form.getlist("types"))
        read = cls(
            url=text_of(form, "url"),
            types=types,
            description=text_of(form, "description"),
            tenant=text_of(form, "tenant"),
        )
        if not read.url:
            read.errors["url"] = "A URL is required."
        return read

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookForm":
        """Return the form of an endpoint that exists."""
        return cls(
            url=webhook["url"],
            types=tuple(webhook["types"]),
            description=webhook["description"],
        )

    def as_change(self) -> dict[str, Any]:
        """Return the API's fields of a change."""
        return {"url": self.url, "types": list(self.types), "description": self.description}

    def as_body(self) -> dict[str, Any]:
        """Return the API's fields of a new endpoint."""
        return self.as_change() | ({"tenant": self.tenant} if self.tenant else {})


@dataclass
class ActForm(Refusable):
    """What an act needs besides a confirmation, as typed."""

    hours: str = f"{ROTATION_HOURS:.0f}"
    since: str = ""  # In UTC, as the page's fields carry it.

    @classmethod
    def of(cls, webhook: Webhook) -> "ActForm":
        """Return a form that proposes to resend since the endpoint began to fail."""
        earliest = datetime.now(UTC) - timedelta(days=RETRIED_DAYS)
        return cls(since=utc_minute(webhook["failingSince"] or earliest.isoformat()))

    @classmethod
    def read(cls, form: Mapping[str, str], act: str) -> "ActForm":
        """Read the submitted form and check it."""
        read = cls(hours=text_of(form, "hours"), since=text_of(form, "since"))
        whole = read.hours.isascii() and read.hours.isdigit() and len(read.hours) < 4
        if act == "rotate" and not (whole and int(read.hours) <= ROTATION_HOURS_MAX):
            read.errors["graceHours"] = f"Hours must be 0 to {ROTATION_HOURS_MAX:.0f}."
        if act == "resend" and not api_time(read.since):
            read.errors["since"] = "A time is required."
        return read
