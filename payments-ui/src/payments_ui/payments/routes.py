"""Payments: pay, list, show, search."""

from typing import Any

from quart import Blueprint, Response, redirect, request
from quart.typing import ResponseReturnValue

from payments_ui.api.client import ApiProblem, ApiUnavailable, api_client
from payments_ui.api.types import PaymentPage
from payments_ui.live.feed import live_feed
from payments_ui.payments.forms import Filters, PayForm
from payments_ui.payments.search import find
from payments_ui.payments.view import newest_payments, timeline
from payments_ui.sign_in.guard import may_operate, operator_name
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.formatting import trace_id
from payments_ui.web.responses import from_htmx, render

PAGE_ROWS = 25

blueprint = Blueprint("payments", __name__)


@blueprint.get("/")
async def index() -> ResponseReturnValue:
    """Show the payment form and the list."""
    return await _index(PayForm())


@blueprint.get("/payments")
async def old_index() -> ResponseReturnValue:
    """Redirect a reload after a payment without scripts."""
    return redirect("/", 303)


@blueprint.post("/payments")
async def pay() -> ResponseReturnValue:
    """Create one payment per form, and show the result."""
    form = PayForm.read(await request.form)
    if form.errors:
        return await _form_with_input(form, 422)
    try:
        payment, replayed = await api_client().create_payment(
            form.order(), form.idempotency_key, operator_name()
        )
    except ApiUnavailable as error:
        return await _form_with_input(form, 503, unavailable=error)
    except ApiProblem as problem:
        return await _rejected(form, problem)
    if not from_htmx():
        return redirect(f"/payments/{payment['id']}?made={'before' if replayed else 'now'}", 303)
    fresh = PayForm(account_id=payment["accountId"], currency=payment["currency"])
    return await render("pay_panel.html", 201, form=fresh, paid=payment, replayed=replayed)


async def _rejected(form: PayForm, problem: ApiProblem) -> Response:
    """Show the API's errors beside their fields, or above the form."""
    if problem.code == "idempotency_key_reused":
        # This form's key has already created a payment: the changed form is a second one.
        return await _form_with_input(form.again(), 422, reused=True)
    placed = form.take_errors(problem.fields)
    return await _form_with_input(form, problem.status, refusal=None if placed else problem.detail)


async def _form_with_input(form: PayForm, status: int, **notices: Any) -> Response:
    """Show the form with its input and key, as a fragment or as a whole page."""
    if from_htmx():
        return await render("pay_panel.html", status, form=form, **notices)
    return await _index(form, status, **notices)


@blueprint.errorhandler(CsrfFailed)
async def form_expired(_: CsrfFailed) -> ResponseReturnValue:
    """Show the form as typed, with a valid token."""
    return await _form_with_input(PayForm.read(await request.form), 403, expired=True)


async def _index(form: PayForm, status: int = 200, **notices: Any) -> Response:
    filters = Filters.read(request.args)
    cursor = request.args.get("cursor", "")
    page: PaymentPage | None = None
    trouble: ApiUnavailable | ApiProblem | None = None
    position, newest = live_feed().position, ""
    try:
        if cursor:
            newest = await _newest_id()
        if filters or cursor:
            page = await api_client().payments(
                filters.api_params() | {"cursor": cursor, "limit": str(PAGE_ROWS)}
            )
        else:
            position, page = await newest_payments().get()
    except (ApiUnavailable, ApiProblem) as error:
        trouble = error
    if trouble is not None and status == 200:
        status = 503 if isinstance(trouble, ApiUnavailable) else trouble.status
    return await render(
        "payments.html",
        status,
        form=form,
        filters=filters,
        cursor=cursor,
        page=page,
        newest=newest,
        trouble=trouble,
        position=position,
        page_rows=PAGE_ROWS,
        **notices,
    )


async def _newest_id() -> str:
    """Return the id of the newest payment; a page of older ones counts those after it."""
    _, page = await newest_payments().get()
    return page["payments"][0]["id"] if page["payments"] else ""


@blueprint.get("/payments/<payment_id>")
async def show(payment_id: str) -> ResponseReturnValue:
    """Show a payment with its timeline and ledger entries."""
    position = live_feed().position
    payment = await api_client().payment(payment_id)
    if payment["job"] and not may_operate():
        payment["job"] |= {"lockedBy": None, "lastError": None}
    trace = trace_id(payment["traceparent"])
    return await render(
        "payment.html",
        payment=payment,
        steps=timeline(payment),
        made=request.args.get("made", ""),
        trace=trace,
        position=position,
    )


@blueprint.get("/search")
async def search() -> ResponseReturnValue:
    """Show the payments and accounts that the text names; go to the only payment at once."""
    text = request.args.get("q", "").strip()
    if not text:
        return redirect("/", 303)
    found = await find(api_client(), text)
    if found.address is not None:
        return redirect(found.address, 303)
    return await render("search.html", text=text, found=found)
