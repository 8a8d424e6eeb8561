"""Webhooks: endpoints and their deliveries for everyone, their management for operators."""

import asyncio
from collections.abc import Awaitable

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.domain.events import EVENT_TYPES
from payments_core.domain.webhooks import DELIVERY_STATUSES
from payments_ui.api.client import api_client
from payments_ui.api.connection import Params
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.types import DeliveryPage, WebhookPage
from payments_ui.api.webhooks import Webhooks
from payments_ui.sign_in.guard import operator_name
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.forms import api_time
from payments_ui.web.paging import page_at
from payments_ui.web.responses import flash, leave_with, render
from payments_ui.webhooks.forms import ActForm, WebhookForm
from payments_ui.webhooks.view import ACTS, DONE, payment_of

ROWS = 25

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")


def webhooks() -> Webhooks:
    """Return the API's routes of webhooks."""
    return Webhooks(api_client())


@blueprint.get("")
async def index() -> ResponseReturnValue:
    """Show the endpoints, newest first."""

    def read(cursor: str) -> Awaitable[WebhookPage]:
        return webhooks().endpoints({"cursor": cursor, "limit": ROWS})

    page, cursor = await page_at(request.args.get("cursor", ""), read)
    return await render("webhooks.html", page=page, cursor=cursor, flash=flash())


@blueprint.get("/<webhook_id>")
async def show(webhook_id: str) -> ResponseReturnValue:
    """Show an endpoint and its deliveries, newest first."""
    status = request.args.get("status", "")
    status = status if status in DELIVERY_STATUSES else ""

    def read(cursor: str) -> Awaitable[DeliveryPage]:
        params: Params = {"status": status, "cursor": cursor, "limit": ROWS}
        return webhooks().deliveries(webhook_id, params)

    webhook, (page, cursor) = await asyncio.gather(
        webhooks().endpoint(webhook_id), page_at(request.args.get("cursor", ""), read)
    )
    return await render(
        "webhook.html",
        webhook=webhook,
        page=page,
        cursor=cursor,
        chosen=status,
        statuses=DELIVERY_STATUSES,
        flash=flash(),
    )


@blueprint.get("/deliveries/<delivery_id>")
async def delivery(delivery_id: str) -> ResponseReturnValue:
    """Show a delivery with its attempts and its body."""
    found = await webhooks().delivery(delivery_id)
    webhook = await webhooks().endpoint(found["endpointId"])
    return await render(
        "delivery.html",
        delivery=found,
        webhook=webhook,
        payment_id=payment_of(found),
        flash=flash(),
    )


@blueprint.get("/new")
async def new() -> ResponseReturnValue:
    """Ask for a new endpoint's fields."""
    return await _fields_page(WebhookForm())


@blueprint.post("/new")
async def create() -> ResponseReturnValue:
    """Create an endpoint, and show its secret this once."""
    form = WebhookForm.read(await request.form)
    if form.errors:
        return await _fields_page(form, 422)
    try:
        webhook = await webhooks().create(form.as_body(), operator_name())
    except (ApiProblem, ApiUnavailable) as error:
        return await _fields_page(form, form.take_error(error))
    return await render("webhook_secret.html", 201, webhook=webhook, created=True)


@blueprint.get("/<webhook_id>/edit")
async def edit(webhook_id: str) -> ResponseReturnValue:
    """Ask for an endpoint's changed fields."""
    return await _fields_page(WebhookForm.of(await webhooks().endpoint(webhook_id)))


@blueprint.post("/<webhook_id>/edit")
async def change(webhook_id: str) -> ResponseReturnValue:
    """Change an endpoint's fields."""
    form = WebhookForm.read(await request.form)
    if form.errors:
        return await _fields_page(form, 422)
    try:
        await webhooks().change(webhook_id, form.as_change(), operator_name())
    except (ApiProblem, ApiUnavailable) as error:
        return await _fields_page(form, form.take_error(error))
    return leave_with("Endpoint changed.", f"/webhooks/{webhook_id}")


@blueprint.get("/<webhook_id>/<any(test, rotate, resend, disable, enable, delete):act_name>")
async def ask(webhook_id: str, act_name: str) -> ResponseReturnValue:
    """Ask for confirmation."""
    return await _act_page(webhook_id, act_name, None)


@blueprint.post("/<webhook_id>/<any(test, rotate, resend, disable, enable, delete):act_name>")
async def act(webhook_id: str, act_name: str) -> ResponseReturnValue:
    """Act on an endpoint."""
    form = ActForm.read(await request.form, act_name)
    if form.errors:
        return await _act_page(webhook_id, act_name, form, 422)
    try:
        return await _perform(webhook_id, act_name, form)
    except (ApiProblem, ApiUnavailable) as error:
        return await _act_page(webhook_id, act_name, form, form.take_error(error))


async def _perform(webhook_id: str, act_name: str, form: ActForm) -> ResponseReturnValue:
    """Do it; raises ApiProblem, ApiUnavailable."""
    api, operator, address = webhooks(), operator_name(), f"/webhooks/{webhook_id}"
    if act_name == "rotate":
        hours = {"graceHours": int(form.hours)}
        webhook = await api.act(webhook_id, "secret", hours, operator)
        return await render("webhook_secret.html", webhook=webhook, created=False)
    if act_name == "resend":
        since = {"since": api_time(form.since)}
        resent = (await api.act(webhook_id, "resend", since, operator))["resent"]
        noun = "delivery is" if resent == 1 else "deliveries are"
        return leave_with(f"{resent:,} failed {noun} sent again.", address)
    if act_name == "test":
        await api.act(webhook_id, "test", {}, operator)
    elif act_name == "delete":
        await api.delete(webhook_id, operator)
        address = "/webhooks"
    else:
        await api.change(webhook_id, {"enabled": act_name == "enable"}, operator)
    return leave_with(DONE[act_name], address)


@blueprint.get("/deliveries/<delivery_id>/resend")
async def ask_resend(delivery_id: str) -> ResponseReturnValue:
    """Ask whether to send a delivery again."""
    return await _resend_page(delivery_id, ActForm())


@blueprint.post("/deliveries/<delivery_id>/resend")
async def resend(delivery_id: str) -> ResponseReturnValue:
    """Send a delivery again."""
    form = ActForm()
    try:
        await webhooks().resend(delivery_id, operator_name())
    except (ApiProblem, ApiUnavailable) as error:
        return await _resend_page(delivery_id, form, form.take_error(error))
    return leave_with("The delivery is sent again.", f"/webhooks/deliveries/{delivery_id}")


@blueprint.errorhandler(CsrfFailed)
async def form_expired(_: CsrfFailed) -> ResponseReturnValue:
    """Show the form as typed, with a valid token."""
    arguments = {name: str(value) for name, value in (request.view_args or {}).items()}
    if "act_name" in arguments:
        acting = ActForm.read(await request.form, arguments["act_name"])
        acting.expire()
        return await _act_page(arguments["webhook_id"], arguments["act_name"], acting, 403)
    if "delivery_id" in arguments:
        acting = ActForm()
        acting.expire()
        return await _resend_page(arguments["delivery_id"], acting, 403)
    form = WebhookForm.read(await request.form)
    form.expire()
    return await _fields_page(form, 403)


async def _fields_page(form: WebhookForm, status: int = 200) -> Response:
    return await render(
        "webhook_form.html",
        status,
        form=form,
        webhook_id=(request.view_args or {}).get("webhook_id"),
        event_types=EVENT_TYPES,
    )


async def _act_page(
    webhook_id: str, act_name: str, form: ActForm | None, status: int = 200
) -> Response:
    webhook = await webhooks().endpoint(webhook_id)
    return await render(
        "confirm_webhook.html",
        status,
        webhook=webhook,
        name=act_name,
        act=ACTS[act_name],
        form=form or ActForm.of(webhook),
    )


async def _resend_page(delivery_id: str, form: ActForm, status: int = 200) -> Response:
    found = await webhooks().delivery(delivery_id)
    return await render("confirm_delivery.html", status, delivery=found, form=form)
