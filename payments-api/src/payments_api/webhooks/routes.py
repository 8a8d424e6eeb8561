"""/webhooks and /webhook-deliveries: endpoints, their secrets and deliveries."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from payments_api.auth.caller import WEBHOOKS_READ, WEBHOOKS_WRITE
from payments_api.auth.middleware import caller, requires
from payments_api.auth.operator import acting_sender
from payments_api.http.errors import (
    DeliveryNotFound,
    TooManyTests,
    TooManyWebhooks,
    ValidationFailed,
    WebhookDisabled,
    WebhookNotFound,
)
from payments_api.http.json_body import read_json_object
from payments_api.http.pagination import Page
from payments_api.http.query_params import Query, checked_uuid
from payments_api.operations.requests import parse_model
from payments_api.services import services
from payments_api.webhooks.schemas import (
    ActRequest,
    ResendRequest,
    RotationRequest,
    WebhookChange,
    WebhookRequest,
)
from payments_core.db.engine import AnyRow
from payments_core.domain.webhooks import DELIVERY_STATUSES
from payments_core.webhooks import deliveries, endpoints, resending
from payments_core.webhooks.shapes import attempt_json, delivery_json, endpoint_json

webhooks = Blueprint("webhooks", __name__)
_checked_id = partial(checked_uuid, not_found=WebhookNotFound)
_checked_delivery = partial(checked_uuid, not_found=DeliveryNotFound)


@webhooks.get("/webhooks")
@requires(WEBHOOKS_READ)
async def get_webhooks() -> ResponseReturnValue:
    """List webhook endpoints, newest first."""
    query, tenant = Query(request.args, "limit", "cursor"), caller().tenant
    page = Page(services().cursors, query, "webhooks", UUID, {"tenant": tenant})
    async with services().load_read() as tx:
        rows = await endpoints.list_endpoints(tx, tenant, page.fetch_limit, page.walk)
    return page.as_json("webhooks", rows, _shown)


@webhooks.post("/webhooks")
@requires(WEBHOOKS_WRITE)
async def post_webhook() -> ResponseReturnValue:
    """Create a webhook endpoint; it receives the events that occur from now on."""
    body = parse_model(WebhookRequest, await read_json_object(request))
    tenant = caller().tenant
    if body.tenant is not None and tenant is not None:
        raise ValidationFailed.of("tenant", "can be named only by a key without a tenant")
    with _problems():
        fields = endpoints.EndpointFields(
            body.url, tuple(body.types), body.description, _loopback_allowed()
        )
        async with services().write() as tx:
            row, secret = await endpoints.create_endpoint(
                tx, fields, tenant or body.tenant, acting_sender()
            )
    return _shown(row) | {"secret": secret}, 201, {"Location": f"/webhooks/{row.id}"}


@webhooks.get("/webhooks/<id:webhook_id>")
@requires(WEBHOOKS_READ)
async def get_webhook(webhook_id: str) -> ResponseReturnValue:
    """Retrieve a webhook endpoint."""
    Query(request.args)
    with _problems():
        async with services().load_read() as tx:
            return _shown(
                await endpoints.find_endpoint(tx, _checked_id(webhook_id), caller().tenant)
            )


@webhooks.patch("/webhooks/<id:webhook_id>")
@requires(WEBHOOKS_WRITE)
async def patch_webhook(webhook_id: str) -> ResponseReturnValue:
    """Change a webhook endpoint's URL, types or description; disable it, or enable it again."""
    change = parse_model(WebhookChange, await read_json_object(request))
    uuid = _checked_id(webhook_id)
    given = {name: getattr(change, name) for name in change.model_fields_set - {"enabled"}}
    with _problems():
        async with services().write() as tx:
            row = await endpoints.change_endpoint(
                tx,
                uuid,
                caller().tenant,
                acting_sender(),
                given,
                change.enabled,
                loopback_allowed=_loopback_allowed(),
            )
    return _shown(row)


@webhooks.delete("/webhooks/<id:webhook_id>")
@requires(WEBHOOKS_WRITE)
async def delete_webhook(webhook_id: str) -> ResponseReturnValue:
    """Delete a webhook endpoint and its secrets; nothing more is sent to it."""
    Query(request.args)
    with _problems():
        async with services().write() as tx:
            await endpoints.delete_endpoint(
                tx, _checked_id(webhook_id), caller().tenant, acting_sender()
            )
    return "", 204


@webhooks.post("/webhooks/<id:webhook_id>/secret")
@requires(WEBHOOKS_WRITE)
async def post_secret(webhook_id: str) -> ResponseReturnValue:
    """Replace a webhook endpoint's secret; the former one also signs for some hours."""
    body = parse_model(RotationRequest, await read_json_object(request))
    with _problems():
        async with services().write() as tx:
            row, secret = await endpoints.rotate_secret(
                tx,
                _checked_id(webhook_id),
                caller().tenant,
                acting_sender(),
                timedelta(hours=body.grace_hours),
            )
    return _shown(row) | {"secret": secret}


@webhooks.post("/webhooks/<id:webhook_id>/test")
@requires(WEBHOOKS_WRITE)
async def post_test(webhook_id: str) -> ResponseReturnValue:
    """Send an event of the type webhook.test to a webhook endpoint."""
    parse_model(ActRequest, await read_json_object(request))
    with _problems():
        async with services().write() as tx:
            row = await resending.send_test(
                tx, _checked_id(webhook_id), caller().tenant, acting_sender()
            )
    return delivery_json(row), 202, {"Location": f"/webhook-deliveries/{row.id}"}


@webhooks.post("/webhooks/<id:webhook_id>/resend")
@requires(WEBHOOKS_WRITE)
async def post_resend_failed(webhook_id: str) -> ResponseReturnValue:
    """Send the failed deliveries since a time again, oldest first, at most 1,000."""
    body = parse_model(ResendRequest, await read_json_object(request))
    with _problems():
        async with services().write() as tx:
            resent = await resending.resend_failed(
                tx, _checked_id(webhook_id), caller().tenant, body.since, acting_sender()
            )
    return {"resent": resent}


@webhooks.get("/webhooks/<id:webhook_id>/deliveries")
@requires(WEBHOOKS_READ)
async def get_deliveries(webhook_id: str) -> ResponseReturnValue:
    """List a webhook endpoint's deliveries, newest first."""
    query = Query(request.args, "status", "limit", "cursor")
    status, uuid = query.choice("status", DELIVERY_STATUSES), _checked_id(webhook_id)
    bound_to = {"webhook": str(uuid), "status": status}
    page = Page(services().cursors, query, "deliveries", UUID, bound_to)
    with _problems():
        async with services().load_read() as tx:
            rows = await deliveries.list_deliveries(
                tx, uuid, caller().tenant, page.fetch_limit, page.walk, status
            )
    return page.as_json("deliveries", rows, delivery_json)


@webhooks.get("/webhook-deliveries/<id:delivery_id>")
@requires(WEBHOOKS_READ)
async def get_delivery(delivery_id: str) -> ResponseReturnValue:
    """Retrieve a delivery with its body and its attempts."""
    Query(request.args)
    with _problems():
        async with services().load_read() as tx:
            row = await deliveries.find_delivery(
                tx, _checked_delivery(delivery_id), caller().tenant
            )
            attempts = await deliveries.list_attempts(tx, row.id)
    return delivery_json(row) | {
        "body": row.body,
        "attemptLog": [attempt_json(each) for each in attempts],
    }


@webhooks.post("/webhook-deliveries/<id:delivery_id>/resend")
@requires(WEBHOOKS_WRITE)
async def post_resend(delivery_id: str) -> ResponseReturnValue:
    """Send a delivery again: the same id and body, with three days of retries."""
    parse_model(ActRequest, await read_json_object(request))
    with _problems():
        async with services().write() as tx:
            row = await resending.resend(
                tx, _checked_delivery(delivery_id), caller().tenant, acting_sender()
            )
    return delivery_json(row), 202, {"Location": f"/webhook-deliveries/{row.id}"}


@contextmanager
def _problems() -> Iterator[None]:
    """Turn the errors of the use cases into problems of the API."""
    try:
        yield
    except endpoints.EndpointRefused as error:
        raise ValidationFailed.of(error.field, error.problem) from None
    except endpoints.EndpointNotFound:
        raise WebhookNotFound from None
    except endpoints.EndpointDisabled:
        raise WebhookDisabled from None
    except endpoints.TooManyEndpoints:
        raise TooManyWebhooks from None
    except resending.TooManyTests as error:
        raise TooManyTests(error.seconds) from None
    except deliveries.DeliveryNotFound:
        raise DeliveryNotFound from None


def _loopback_allowed() -> bool:
    """Return whether a receiver may run on this machine: with authentication off."""
    return services().keys is None


def _shown(row: AnyRow) -> dict[str, Any]:
    """Return an endpoint as the caller may see it: no tenant's key learns the tenant's name."""
    shown = endpoint_json(row)
    return shown if caller().tenant is None else shown | {"tenant": None}
