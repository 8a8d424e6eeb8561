"""The forms of webhooks: an endpoint's fields, and the confirmation of an act."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.datastructures import MultiDict

from payments_core.domain.events import EVENT_TYPES
from payments_core.domain.webhooks import RETRIED_DAYS, ROTATION_HOURS, ROTATION_HOURS_MAX
from payments_ui.api.types import Webhook
from payments_ui.web.forms import Refusable, api_time, text_of, utc_minute

LABELS = {
    "url": "The URL",
    "types": "Events",
    "description": "Description",
    "tenant": "Tenant",
    "graceHours": "Hours",
    "since": "Since",
}


@dataclass
class WebhookForm(Refusable):
    """An endpoint's fields as typed. No types are all events."""

    labels = LABELS
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

    labels = LABELS
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
