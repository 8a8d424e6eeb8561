"""Webhooks: words, limits and the rules of Standard Webhooks that the services share."""

from typing import Literal, get_args

from payments_core.domain.events import EVENT_TYPES

DeliveryStatus = Literal["pending", "delivered", "failed"]
DELIVERY_STATUSES: tuple[DeliveryStatus, ...] = get_args(DeliveryStatus)

# Why an endpoint is disabled: an operator's decision, an answer 410, or days of failures alone.
DisabledReason = Literal["operator", "gone", "failing"]
DISABLED_REASONS: tuple[DisabledReason, ...] = get_args(DisabledReason)

TEST_EVENT = "webhook.test"  # Sent on request; no event of the log has this type.
SUBSCRIBABLE_TYPES = tuple(EVENT_TYPES)

ENDPOINTS_MAX = 20  # Of one tenant, and of none: an event makes one delivery for each.
ENDPOINTS_IN_ALL_MAX = 1_000  # A claim looks each of them up.
URL_MAX_CHARS = 2000
DESCRIPTION_MAX_CHARS = 500
SECRET_PREFIX = "whsec_"  # noqa: S105 - of every secret, by Standard Webhooks.  # nosec B105
SECRET_BYTES = 32  # Standard Webhooks: 24 to 64.
ROTATION_HOURS = 24.0  # The former secret signs this long, unless the operator chooses.
ROTATION_HOURS_MAX = 168.0
RETRIED_DAYS = 3  # After a delivery is due for the first time, or sent again by an operator.
FAILING_DAYS_MAX = 5  # An endpoint without one success in this time is disabled.
KEPT_DAYS = 30
TESTS_PER_HOUR_MAX = 20  # Of one endpoint: each is stored for KEPT_DAYS and sent to a stranger.
RESENT_MAX = 1_000  # In one transaction.
ATTEMPTS_SHOWN_MAX = 100  # Of one delivery, which can be resent without end.
ANSWER_KEPT_CHARS = 1024
