"""The API's routes of webhooks, as the page calls them."""

from collections.abc import Mapping
from typing import Any, cast

from payments_ui.api import types as api
from payments_ui.api.client import ApiClient
from payments_ui.api.connection import Params, segment


class Webhooks:
    """Calls the routes; every method raises ApiUnavailable or ApiProblem."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def endpoints(self, params: Params) -> api.WebhookPage:
        """Return a page of endpoints, newest first."""
        return cast("api.WebhookPage", await self._client.get("/webhooks", params))

    async def endpoint(self, webhook_id: str) -> api.Webhook:
        """Return an endpoint."""
        return cast("api.Webhook", await self._client.get(_of(webhook_id)))

    async def create(self, body: Mapping[str, Any], operator: str | None) -> api.WebhookWithSecret:
        """Create an endpoint; its secret is in this answer alone."""
        answer = await self._client.act("/webhooks", body, operator)
        return cast("api.WebhookWithSecret", answer)

    async def change(self, webhook_id: str, body: Mapping[str, Any], operator: str | None) -> None:
        """Change the fields of an endpoint that the body has."""
        await self._client.act(_of(webhook_id), body, operator, method="PATCH")

    async def delete(self, webhook_id: str, operator: str | None) -> None:
        """Delete an endpoint."""
        await self._client.delete(_of(webhook_id), operator)

    async def act(
        self, webhook_id: str, act: str, body: Mapping[str, Any], operator: str | None
    ) -> dict[str, Any]:
        """Replace its secret, send a test event, or send its failed deliveries again."""
        return await self._client.act(_of(webhook_id, act), body, operator)

    async def deliveries(self, webhook_id: str, params: Params) -> api.DeliveryPage:
        """Return a page of an endpoint's deliveries, newest first."""
        answer = await self._client.get(_of(webhook_id, "deliveries"), params)
        return cast("api.DeliveryPage", answer)

    async def delivery(self, delivery_id: str) -> api.DeliveryDetail:
        """Return a delivery with its body and its attempts."""
        answer = await self._client.get(f"/webhook-deliveries/{segment(delivery_id)}")
        return cast("api.DeliveryDetail", answer)

    async def resend(self, delivery_id: str, operator: str | None) -> None:
        """Send a delivery again."""
        await self._client.act(f"/webhook-deliveries/{segment(delivery_id)}/resend", {}, operator)


def _of(webhook_id: str, *parts: str) -> str:
    return "/".join(("/webhooks", segment(webhook_id), *map(segment, parts)))
