"""Schemas of webhooks: endpoints, deliveries, attempts."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, StrictBool, WithJsonSchema
from pydantic_core import PydanticCustomError

from payments_api.http.schemas import LATER, NOW, Cursor, PreviousCursor, Shape
from payments_api.operations.requests import Moment, Request
from payments_core.domain import webhooks as words
from payments_core.domain.events import EventType
from payments_core.domain.payments import TENANT_PATTERN

URL = "https://hooks.example.com/payments"
ENDPOINT: dict[str, JsonValue] = {
    "id": "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50",
    "tenant": None,
    "url": URL,
    "types": ["payment.completed", "payment.failed"],
    "description": "Orders",
    "enabled": True,
    "disabledReason": None,
    "failingSince": None,
    "previousSecretExpiresAt": None,
    "createdAt": NOW,
}
EVENT_ID = "evt_01936f5e3c7a7d5e9a510b6c8f1d2e3f"
DELIVERY: dict[str, JsonValue] = {
    "id": "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e60",
    "endpointId": ENDPOINT["id"],
    "eventId": EVENT_ID,
    "type": "payment.completed",
    "status": "delivered",
    "attempts": 1,
    "nextAttemptAt": None,
    "createdAt": NOW,
    "finishedAt": LATER,
    "lastAttemptAt": NOW,
    "durationSeconds": 0.042,
    "statusCode": 200,
    "answer": "ok",
    "error": None,
}
ATTEMPT: dict[str, JsonValue] = {
    "number": 1,
    "startedAt": NOW,
    "durationSeconds": 0.042,
    "statusCode": 200,
    "answer": "ok",
    "error": None,
}


def _hours(value: object) -> object:
    # A number of the body is a Decimal; a boolean or a text is no number of hours.
    if not isinstance(value, Decimal) or not value.is_finite() or value.adjusted() > 3:
        raise PydanticCustomError("hours", "must be a whole number of hours")
    return value


Url = Annotated[
    str,
    # Validated by payments_core.webhooks: the address, too, decides.
    WithJsonSchema(
        {
            "type": "string",
            "format": "uri",
            "maxLength": words.URL_MAX_CHARS,
            "pattern": "^https?://",
            "description": "https to a host on the internet, port 443; no user name, no fragment."
            " Without authentication also http or https to this machine, on any port.",
        }
    ),
]
Types = Annotated[
    list[EventType],
    Field(
        max_length=len(words.SUBSCRIBABLE_TYPES),
        description="The types of events to send; none means all.",
        json_schema_extra={"uniqueItems": True},
    ),
]
Description = Annotated[str, Field(max_length=words.DESCRIPTION_MAX_CHARS, pattern=r"^[^\u0000]*$")]


class WebhookRequest(Request):
    """A new endpoint. Only a key without a tenant names a `tenant`, whose events are sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": URL, "types": ENDPOINT["types"], "description": "Orders"}]
        }
    )

    url: Url
    types: Types = []  # noqa: RUF012 - pydantic copies it.
    description: Description = ""
    tenant: Annotated[str, Field(pattern=f"^{TENANT_PATTERN}$")] | None = None


class WebhookChange(Request):
    """What to change about an endpoint; an absent field stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    # Optional, but not null.
    url: Url = Field(default=None)  # type: ignore[assignment]
    types: Types = Field(default=None)  # type: ignore[arg-type]
    description: Description = Field(default=None)  # type: ignore[assignment]
    enabled: StrictBool = Field(default=None)  # type: ignore[assignment]


class RotationRequest(Request):
    """For how many hours the former secret signs beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"graceHours": 24}]})

    grace_hours: Annotated[
        int, Field(ge=0, le=int(words.ROTATION_HOURS_MAX)), BeforeValidator(_hours)
    ] = int(words.ROTATION_HOURS)


class ActRequest(Request):
    """An empty object."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class ResendRequest(Request):
    """The failed deliveries to send again: those created at this time or later."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"since": "2026-01-31T12:00:00Z"}]})

    since: Moment


class Webhook(Shape):
    """An endpoint to which events are sent.

    `tenant` is null for one that receives the events of all tenants, and for a tenant's own key.
    `failingSince` is the time of the first failure after the last success.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [ENDPOINT]})

    id: UUID
    tenant: str | None
    url: str
    types: list[str]
    description: str
    enabled: bool
    disabled_reason: words.DisabledReason | None
    failing_since: datetime | None
    previous_secret_expires_at: datetime | None
    created_at: datetime


class WebhookWithSecret(Webhook):
    """An endpoint with its new secret, which is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**ENDPOINT, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}  # nosec B105 - of Standard Webhooks.
            ]
        }
    )

    secret: str


class WebhookPage(Shape):
    """A page of endpoints, newest first."""

    webhooks: list[Webhook]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Delivery(Shape):
    """An event sent to an endpoint, with the outcome of the last attempt.

    `answer` is the first 1,024 characters of the receiver's answer. `nextAttemptAt` is null once
    the delivery is finished.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [DELIVERY]})

    id: UUID
    endpoint_id: UUID
    event_id: str
    type: Literal[EventType, "webhook.test"]
    status: words.DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    last_attempt_at: datetime | None
    duration_seconds: float | None
    status_code: int | None
    answer: str | None
    error: str | None


class DeliveryPage(Shape):
    """A page of an endpoint's deliveries, newest first."""

    deliveries: list[Delivery]
    next_cursor: Cursor
    previous_cursor: PreviousCursor


class Attempt(Shape):
    """One attempt of a delivery: the status and begin of the answer, or the error."""

    number: int
    started_at: datetime
    duration_seconds: float
    status_code: int | None
    answer: str | None
    error: str | None


class DeliveryDetail(Delivery):
    """A delivery with its body, byte for byte, and its latest 100 attempts, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**DELIVERY, "body": '{"type":"payment.completed"}', "attemptLog": [ATTEMPT]}
            ]
        }
    )

    body: str
    attempt_log: list[Attempt]


class Resent(Shape):
    """The number of deliveries that are sent again; with 1,000, ask again for the rest."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"resent": 12}]})

    resent: int
