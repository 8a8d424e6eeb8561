"""Endpoints: the URLs to which events are sent, and the secrets that sign them."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import webhook_cursor, webhook_endpoints, webhook_secrets
from payments_core.domain import webhooks as words
from payments_core.domain.ids import uuid7
from payments_core.webhooks.destination import UrlRefused, parse_url

_endpoints = webhook_endpoints.c
_FANNED_OUT = select(webhook_cursor.c.position).scalar_subquery()
# One creation at a time: those that run together would count the same endpoints. The lock needs
# the right to delete secrets, which no reader has; it permits reads and writes of the rows.
_LOCK_CREATIONS = text("LOCK TABLE webhook_secrets IN SHARE UPDATE EXCLUSIVE MODE")


class EndpointNotFound(LookupError):
    """No webhook endpoint has that id."""


class EndpointDisabled(ValueError):
    """The webhook endpoint is disabled: enable it first."""


class TooManyEndpoints(ValueError):
    """There are too many webhook endpoints: delete unused ones."""


class EndpointRefused(ValueError):
    """A field of an endpoint is invalid; `field` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, slots=True)
class EndpointFields:
    """What a client chooses about an endpoint, validated. Raises EndpointRefused.

    No types are all of them. `loopback_allowed` also admits http to this machine.
    """

    url: str
    types: tuple[str, ...] = ()
    description: str = ""
    loopback_allowed: bool = False

    def __post_init__(self) -> None:
        """Validate every field."""
        try:
            parse_url(self.url, loopback_allowed=self.loopback_allowed)
        except UrlRefused as error:
            raise EndpointRefused("url", str(error)) from None
        for name in self.types:
            if name not in words.SUBSCRIBABLE_TYPES:
                known = ", ".join(words.SUBSCRIBABLE_TYPES)
                raise EndpointRefused("types", f"{name[:50]!r} is none of {known}")
        if len(set(self.types)) != len(self.types):
            raise EndpointRefused("types", "must name each type once")
        if len(self.description) > words.DESCRIPTION_MAX_CHARS or "\0" in self.description:
            longest = words.DESCRIPTION_MAX_CHARS
            raise EndpointRefused("description", f"must have at most {longest} characters")


def new_secret() -> bytes:
    """Return a new secret's bytes."""
    return secrets.token_bytes(words.SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """Return the secret as Standard Webhooks writes it, to be shown once."""
    return f"{words.SECRET_PREFIX}{base64.b64encode(secret).decode()}"


def _listed(tenant: str | None) -> Select[Any]:
    """Select the endpoints that a caller may see, each with the previous secret's expiry."""
    previous = (
        select(webhook_secrets.c.expires_at)
        .where(
            webhook_secrets.c.endpoint_id == _endpoints.id,
            webhook_secrets.c.expires_at > func.now(),
        )
        .scalar_subquery()
    )
    query = select(webhook_endpoints, previous.label("previous_secret_expires_at"))
    query = query.where(_endpoints.deleted_at.is_(None))
    return query if tenant is None else query.where(_endpoints.tenant == tenant)


async def create_endpoint(
    tx: AsyncConnection, fields: EndpointFields, tenant: str | None, operator: Operator
) -> tuple[AnyRow, str]:
    """Store an endpoint, on record; return its row and its secret. Raises TooManyEndpoints.

    It receives the events from now on, and those not yet turned into deliveries.
    """
    await tx.execute(_LOCK_CREATIONS)
    own = _endpoints.tenant.is_not_distinct_from(tenant)
    counts = select(func.count().label("all"), func.count().filter(own).label("own"))
    there = (await tx.execute(counts.where(_endpoints.deleted_at.is_(None)))).one()
    if there.own >= words.ENDPOINTS_MAX or there.all >= words.ENDPOINTS_IN_ALL_MAX:
        raise TooManyEndpoints(TooManyEndpoints.__doc__)
    endpoint_id, secret = uuid7(), new_secret()
    await tx.execute(
        insert(webhook_endpoints).values(
            id=endpoint_id,
            tenant=tenant,
            url=fields.url,
            types=list(fields.types),
            description=fields.description,
            after_position=_FANNED_OUT,
        )
    )
    await tx.execute(insert(webhook_secrets).values(endpoint_id=endpoint_id, secret=secret))
    await _record(tx, "create_webhook", operator, endpoint_id)
    return await find_endpoint(tx, endpoint_id, tenant), secret_text(secret)


async def list_endpoints(
    tx: AsyncConnection,
    tenant: str | None,
    limit: int | None = None,
    walk: Walk[UUID] = NEWEST_FIRST,
) -> Sequence[AnyRow]:
    """Return the endpoints that a caller may see, along the walk; without a tenant, everyone's."""
    key = _endpoints.id
    query = _listed(tenant).where(*walk.beyond(key)).order_by(*walk.order(key)).limit(limit)
    rows: Sequence[AnyRow] = (await tx.execute(query)).all()
    return rows


async def find_endpoint(
    tx: AsyncConnection, endpoint_id: UUID, tenant: str | None, *, lock: bool = False
) -> AnyRow:
    """Return the endpoint, locked if asked. Raises EndpointNotFound, for another tenant's too."""
    query = _listed(tenant).where(_endpoints.id == endpoint_id)
    if lock:
        query = query.with_for_update(of=webhook_endpoints)
    row: AnyRow | None = (await tx.execute(query)).one_or_none()
    if row is None:
        raise EndpointNotFound(EndpointNotFound.__doc__)
    return row


async def change_endpoint(
    tx: AsyncConnection,
    endpoint_id: UUID,
    tenant: str | None,
    operator: Operator,
    given: Mapping[str, Any] | None = None,
    enabled: bool | None = None,
    *,
    loopback_allowed: bool = False,
) -> AnyRow:
    """Change an endpoint, on record; return its row.

    `given` holds new values of `url`, `types` and `description`; the others stay.

    An endpoint that is enabled again receives the events from then on, and those not yet turned
    into deliveries; deliveries that were pending when it was disabled continue. Raises
    EndpointNotFound, EndpointRefused.
    """
    before = await find_endpoint(tx, endpoint_id, tenant, lock=True)
    values: dict[str, Any] = {}
    if given:
        kept = {"url": before.url, "types": before.types, "description": before.description}
        values = kept | dict(given)
        values["types"] = list(values["types"])
        EndpointFields(**values, loopback_allowed=loopback_allowed)  # Validates them together.
    if enabled is True and before.enabled_at is None:
        values |= {
            "enabled_at": func.now(),
            "after_position": _FANNED_OUT,
            "disabled_reason": None,
            "failing_since": None,
            "paused_until": None,
        }
    elif enabled is False and before.enabled_at is not None:
        values |= {"enabled_at": None, "disabled_reason": "operator"}
    if values:
        await tx.execute(
            update(webhook_endpoints).where(_endpoints.id == endpoint_id).values(values)
        )
        await _record(tx, "change_webhook", operator, endpoint_id)
    return await find_endpoint(tx, endpoint_id, tenant)


async def rotate_secret(
    tx: AsyncConnection,
    endpoint_id: UUID,
    tenant: str | None,
    operator: Operator,
    grace: timedelta = timedelta(hours=words.ROTATION_HOURS),
) -> tuple[AnyRow, str]:
    """Replace the secret, on record; return the endpoint's row and the new secret.

    The former secret also signs until the grace period ends; one before it ends now. Raises
    EndpointNotFound, EndpointRefused.
    """
    if not timedelta(0) <= grace <= timedelta(hours=words.ROTATION_HOURS_MAX):
        hours = f"must be 0 to {words.ROTATION_HOURS_MAX:.0f} hours"
        raise EndpointRefused("graceHours", hours)
    await find_endpoint(tx, endpoint_id, tenant, lock=True)
    secret = new_secret()
    own = webhook_secrets.c.endpoint_id == endpoint_id
    await tx.execute(delete(webhook_secrets).where(own, webhook_secrets.c.expires_at.is_not(None)))
    await tx.execute(update(webhook_secrets).where(own).values(expires_at=func.now() + grace))
    await tx.execute(insert(webhook_secrets).values(endpoint_id=endpoint_id, secret=secret))
    await _record(tx, "rotate_webhook", operator, endpoint_id)
    return await find_endpoint(tx, endpoint_id, tenant), secret_text(secret)


async def delete_endpoint(
    tx: AsyncConnection, endpoint_id: UUID, tenant: str | None, operator: Operator
) -> None:
    """Delete an endpoint and its secrets, on record; nothing more is sent to it.

    Its row and its deliveries stay for the record. Raises EndpointNotFound.
    """
    await find_endpoint(tx, endpoint_id, tenant, lock=True)
    await tx.execute(delete(webhook_secrets).where(webhook_secrets.c.endpoint_id == endpoint_id))
    await tx.execute(
        update(webhook_endpoints)
        .where(_endpoints.id == endpoint_id)
        .values(deleted_at=func.now(), enabled_at=None, disabled_reason="operator")
    )
    await _record(tx, "delete_webhook", operator, endpoint_id)


async def _record(
    tx: AsyncConnection, action: Any, operator: Operator, endpoint_id: UUID, reason: str = ""
) -> None:
    await record_action(tx, action, operator, reason, subject=f"webhook {endpoint_id}")
