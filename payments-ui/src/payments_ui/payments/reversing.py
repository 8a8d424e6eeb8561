"""Reverse a payment: ask for amount, reason and reference, then create the reversal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID, uuid4, uuid5

from quart import Blueprint, Response, redirect, request
from quart.typing import ResponseReturnValue

from payments_core.domain.ids import uuid_or_none
from payments_core.domain.reversals import REVERSAL_REASON_MAX_CHARS
from payments_core.domain.statuses import FAILED
from payments_ui.api.client import api_client
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.types import PaymentDetail, Reversal
from payments_ui.payments.amounts import AmbiguousAmount, plain_amount
from payments_ui.sign_in.guard import operator_name
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.forms import Refusable, text_of
from payments_ui.web.responses import from_htmx, render

REVERSALS_SHOWN = 200  # The API's limit of one page.
LABELS = {"amount": "Amount", "reason": "Reason", "reference": "Reference"}

blueprint = Blueprint("reversing", __name__)


@dataclass
class ReverseForm(Refusable):
    """Amount, reason and reference as typed, the form's idempotency key and the errors.

    Like the payment form, it keeps its key until a reversal exists: it creates at most one.
    """

    labels = LABELS
    amount: str = ""
    reason: str = ""
    reference: str = ""
    idempotency_key: str = field(default_factory=lambda: str(uuid4()))

    @classmethod
    def read(cls, form: Mapping[str, str]) -> "ReverseForm":
        """Read the submitted form and check it."""
        read = cls(text_of(form, "amount"), text_of(form, "reason"), text_of(form, "reference"))
        if uuid_or_none(form.get("idempotencyKey", "")):
            read.idempotency_key = form["idempotencyKey"]
        if not read.amount:
            read.errors["amount"] = "Amount is required."
        if not read.reason:
            read.errors["reason"] = "A reason is required: it is kept with the reversal."
        elif len(read.reason) > REVERSAL_REASON_MAX_CHARS:
            limit = f"at most {REVERSAL_REASON_MAX_CHARS} characters"
            read.errors["reason"] = f"The reason must have {limit}."
        return read

    def body(self, currency: str) -> dict[str, str]:
        """Return the body of the API's request. Raises AmbiguousAmount."""
        body = {"amount": plain_amount(self.amount, currency), "reason": self.reason}
        return {**body, "reference": self.reference} if self.reference else body

    def take_error(self, error: ApiProblem | ApiUnavailable) -> int:
        """Show the API's error; return the status of the response."""
        status = super().take_error(error)
        if isinstance(error, ApiUnavailable):
            outcome = "may or may not have been" if error.sent else "was not"
            self.refusal = (
                f"The reversal {outcome} created. Press Reverse again:"
                " this form creates at most one reversal."
            )
        elif error.code == "idempotency_key_reused":
            self.idempotency_key = str(uuid4())
            self.refusal_title = "A reversal was created after this form was opened."
            self.refusal = "Press Reverse again only to create another one."
        return status


def left_of(payment: PaymentDetail, reversals: list[Reversal]) -> str:
    """Return the part of a payment's amount that is not reversed yet, as decimal text."""
    reserved = (Decimal(each["amount"]) for each in reversals if each["status"] != FAILED)
    return f"{Decimal(payment['amount']) - sum(reserved):f}"


def key_of(payment: PaymentDetail, reversals: list[Reversal]) -> str:
    """Return the idempotency key of a form that is opened while the payment has these reversals.

    So two people, or two tabs, that act on one return of the bank create one reversal.
    """
    return str(uuid5(UUID(payment["id"]), " ".join(each["id"] for each in reversals)))


@blueprint.get("/payments/<payment_id>/reverse")
async def ask(payment_id: str) -> ResponseReturnValue:
    """Ask for amount, reason and confirmation; the address may propose amount and reference."""
    amount, reference = (text_of(request.args, name) for name in ("amount", "reference"))
    return await _page(payment_id, ReverseForm(amount, reference=reference, idempotency_key=""))


@blueprint.post("/payments/<payment_id>/reverse")
async def reverse(payment_id: str) -> ResponseReturnValue:
    """Create one reversal per form, and show the payment."""
    form = ReverseForm.read(await request.form)
    if form.errors:
        return await _page(payment_id, form, 422)
    try:
        payment = await api_client().payment(payment_id)
        body = form.body(payment["currency"])
        await api_client().reverse(payment_id, body, form.idempotency_key, operator_name())
    except AmbiguousAmount as error:
        form.errors["amount"] = f"“{form.amount}” {error}."
        return await _page(payment_id, form, 422)
    except (ApiProblem, ApiUnavailable) as error:
        return await _page(payment_id, form, form.take_error(error))
    address = f"/payments/{payment_id}?reversed=now"
    if from_htmx():
        return Response("", 200, {"HX-Redirect": address})
    return redirect(address, 303)


@blueprint.errorhandler(CsrfFailed)
async def form_expired(_: CsrfFailed) -> ResponseReturnValue:
    """Show the form as typed, with a valid token."""
    form = ReverseForm.read(await request.form)
    form.refusal_title = "This form has expired."
    form.refusal = "Nothing was reversed. Check your input and press Reverse again."
    payment_id = str((request.view_args or {})["payment_id"])
    return await _page(payment_id, form, 403)


async def _page(payment_id: str, form: ReverseForm, status: int = 200) -> Response:
    """Show the form; without an amount, it proposes the payment's remainder."""
    client = api_client()
    payment = await client.payment(payment_id)
    page = await client.reversals(payment_id, {"limit": REVERSALS_SHOWN})
    left = left_of(payment, page["reversals"])
    form.idempotency_key = form.idempotency_key or key_of(payment, page["reversals"])
    if not form.errors:
        form.amount = form.amount or left
    return await render("confirm_reversal.html", status, payment=payment, left=left, form=form)
