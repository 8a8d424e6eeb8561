"""Payments: pay, list, show, search."""

import asyncio
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from quart import Blueprint, Response, redirect, request
from quart.typing import ResponseReturnValue

from payments_core.domain.statuses import COMPLETED
from payments_core.observability.trace_context import trace_id_of, valid_traceparent
from payments_ui.api.client import api_client
from payments_ui.api.connection import Params
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.types import (
    LedgerEntry,
    PaymentDetail,
    PaymentPage,
    PaymentTotals,
    Reversal,
)
from payments_ui.live.feed import live_feed
from payments_ui.payments.amounts import AmbiguousAmount
from payments_ui.payments.filters import Filters
from payments_ui.payments.forms import PayForm
from payments_ui.payments.payments_csv import payment_lines
from payments_ui.payments.reversing import REVERSALS_SHOWN, left_of
from payments_ui.payments.search import find
from payments_ui.payments.view import newest_payments, timeline
from payments_ui.sign_in.guard import may_operate, operator_name
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.csv_download import csv_response
from payments_ui.web.paging import page_at
from payments_ui.web.responses import from_htmx, render

PAGE_ROWS = 25

blueprint = Blueprint("payments", __name__)


@blueprint.get("/")
async def index() -> ResponseReturnValue:
    """Show the payment form and the list."""
    return await _index(PayForm())


@blueprint.get("/payments")
async def old_index() -> ResponseReturnValue:
    """Redirect GET /payments, the address of a form that was posted without scripts."""
    return redirect("/", 303)


@blueprint.post("/payments")
async def pay() -> ResponseReturnValue:
    """Create one payment per form, and show the result."""
    form = PayForm.read(await request.form)
    if form.errors:
        return await _form_with_input(form, 422)
    try:
        payment, replayed = await api_client().create_payment(
            form.body(), form.idempotency_key, operator_name()
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
        # This form's key has already created a payment, so the changed form is a second payment.
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
    totals: PaymentTotals | None = None
    trouble: ApiUnavailable | ApiProblem | None = None
    position, newest = live_feed().position, ""
    try:
        if cursor:
            newest = await _newest_id()
        if filters or filters.order or cursor:
            # Without a cursor, the list is live.
            (page, cursor), totals = await asyncio.gather(
                page_at(cursor, partial(_page, filters)), _totals(filters)
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
        totals=totals,
        newest=newest,
        trouble=trouble,
        position=position,
        page_rows=PAGE_ROWS,
        **notices,
    )


async def _page(filters: Filters, cursor: str) -> PaymentPage:
    try:
        params: Params = {**filters.api_params(), "cursor": cursor, "limit": PAGE_ROWS}
    except AmbiguousAmount as error:
        detail = f"The amount “{filters.amount}” {error}."
        raise ApiProblem(422, "ambiguous_amount", "Ambiguous amount", detail) from None
    return await api_client().payments(params)


async def _totals(filters: Filters) -> PaymentTotals | None:
    """Return the totals of a filtered list; None without a filter or an answer."""
    try:
        return await api_client().payment_totals(filters.api_filters()) if filters else None
    except (ApiUnavailable, ApiProblem, AmbiguousAmount):
        return None  # The list itself shows the error.


@blueprint.get("/payments.csv")
async def payments_csv() -> ResponseReturnValue:
    """Stream the filtered list as CSV."""
    filters = Filters.read(request.args)
    await _page(filters, "")  # A filter that the API rejects leads to an error page, not to a file.
    return csv_response(payment_lines(api_client(), filters), "payments.csv")


async def _newest_id() -> str:
    """Return the id of the newest payment; a page of older ones counts those after it."""
    _, page = await newest_payments().get()
    return page["payments"][0]["id"] if page["payments"] else ""


@blueprint.get("/payments/<payment_id>")
async def show(payment_id: str) -> ResponseReturnValue:
    """Show a payment with its timeline and ledger entries."""
    position = live_feed().position
    payment = await api_client().payment(payment_id)
    reversals: list[Reversal] = []
    if payment["status"] == COMPLETED:
        with suppress(ApiProblem):  # In a rollout, an older API knows no reversals.
            page = await api_client().reversals(payment_id, {"limit": REVERSALS_SHOWN})
            reversals = page["reversals"]
    if payment["job"] and not may_operate():
        payment["job"] |= {"lockedBy": None, "lastError": None}
    traceparent = valid_traceparent(payment["traceparent"])
    return await render(
        "payment.html",
        payment=payment,
        steps=timeline(payment, reversals),
        entries=_entries(payment, reversals),
        left=left_of(payment, reversals),
        made=request.args.get("made", ""),
        reversing=request.args.get("reversed", ""),
        trace=traceparent and trace_id_of(traceparent),
        position=position,
    )


def _entries(payment: PaymentDetail, reversals: list[Reversal]) -> list[LedgerEntry]:
    """Return the entries of a payment, then those of its reversals, oldest first."""
    of_reversals = (each["ledgerEntries"] or [] for each in reversed(reversals))
    return [*(payment["ledgerEntries"] or []), *chain.from_iterable(of_reversals)]


@blueprint.get("/search")
async def search() -> ResponseReturnValue:
    """Show the payments and accounts that match the text; redirect to a single result."""
    text = request.args.get("q", "").strip()
    if not text:
        return redirect("/", 303)
    found = await find(api_client(), text)
    if found.address is not None:
        return redirect(found.address, 303)
    return await render("search.html", text=text, found=found)
