"""The form that reverses a payment, and reversals in the timeline."""

from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.types import PaymentDetail, Reversal
from payments_ui.payments.reversing import ReverseForm, key_of, left_of
from payments_ui.payments.view import timeline

AT = "2026-11-22T20:00:00.000000Z"


def reversal(amount: str, status: str, **more: Any) -> Reversal:
    fields = {
        "amount": amount,
        "currency": "USD",
        "reason": "Returned",
        "status": status,
        "createdAt": AT,
        "settledAt": None if status == "pending" else AT,
        "notes": None,
    }
    return cast(Reversal, fields | more)


PAYMENT = cast(
    PaymentDetail,
    {
        "amount": "100.00",
        "status": "completed",
        "createdAt": AT,
        "job": None,
        "reconciliation": None,
        "ledgerEntries": [],
    },
)


@pytest.mark.parametrize(
    ("reversals", "left"),
    [
        ([], "100.00"),
        ([reversal("30.00", "completed"), reversal("20.50", "pending")], "49.50"),
        ([reversal("30.00", "failed")], "100.00"),
        ([reversal("100.00", "pending")], "0.00"),
    ],
)
def test_the_form_proposes_what_has_not_been_reversed(reversals: list[Reversal], left: str) -> None:
    assert left_of(PAYMENT, reversals) == left


def test_the_timeline_lists_reversals_after_the_payment_oldest_first() -> None:
    newest_first = [
        reversal("3.00", "pending"),
        reversal("2.00", "failed", notes="Discarded by ann: by mistake"),
        reversal("1.00", "completed"),
    ]
    steps = [(step.kind, step.title, step.text) for step in timeline(PAYMENT, newest_first)]
    assert steps[1:] == [
        ("done", "Reversal of 1.00 USD created", "Returned"),
        ("done", "Reversed: 1.00 USD", ""),
        ("done", "Reversal of 2.00 USD created", "Returned"),
        ("failed", "Reversal failed", "Discarded by ann: by mistake"),
        ("done", "Reversal of 3.00 USD created", "Returned"),
        ("waiting", "Reversing…", "A worker will post it."),
    ]


def test_amount_and_reason_are_required_and_the_key_is_kept() -> None:
    key = ReverseForm().idempotency_key
    form = ReverseForm.read({"amount": " ", "reason": "", "idempotencyKey": key})
    assert set(form.errors) == {"amount", "reason"}
    assert form.idempotency_key == key
    form = ReverseForm.read({"amount": "1", "reason": "r" * 501, "idempotencyKey": "x"})
    assert form.errors == {"reason": "The reason must have at most 500 characters."}
    assert form.idempotency_key not in ("x", key)
    form = ReverseForm.read({"amount": "1,234.50", "reason": "r"})
    assert form.body("USD") == {"amount": "1234.50", "reason": "r"}
    form = ReverseForm.read({"amount": "1", "reason": "r", "reference": " INV-1 "})
    assert form.body("USD") == {"amount": "1", "reason": "r", "reference": "INV-1"}


def test_forms_opened_in_one_state_create_one_reversal() -> None:
    first, second = str(uuid4()), str(uuid4())
    payment = cast(PaymentDetail, {**PAYMENT, "id": str(uuid4())})
    reversals = [reversal("1.00", "failed", id=first)]
    key = key_of(payment, reversals)
    assert str(UUID(key)) == key == key_of(payment, list(reversals))
    later = [reversal("1.00", "pending", id=second), *reversals]
    other = cast(PaymentDetail, {**payment, "id": str(uuid4())})
    assert len({key, key_of(payment, later), key_of(payment, []), key_of(other, reversals)}) == 4


@pytest.mark.parametrize(
    ("sent", "outcome"), [(True, "may or may not have been"), (False, "was not")]
)
def test_a_lost_answer_keeps_the_key_for_the_next_attempt(sent: bool, outcome: str) -> None:
    form = ReverseForm("1.00", "r")
    key = form.idempotency_key
    assert form.take_error(ApiUnavailable("did not answer in time", sent)) == 503
    assert f"The reversal {outcome} created." in form.refusal
    assert form.idempotency_key == key


def test_a_rejection_is_shown_beside_its_field_or_above_the_form() -> None:
    form = ReverseForm("0", "r")
    fields = {"amount": "must be positive", "reference": "must be a string"}
    assert form.take_error(ApiProblem(422, "validation_error", "Invalid", "", fields)) == 422
    assert form.errors == {
        "amount": "Amount must be positive.",
        "reference": "Reference must be a string.",
    }
    form = ReverseForm("9", "r")
    form.take_error(ApiProblem(409, "reversal_exceeds_payment", "Too much.", "Less is left."))
    assert (form.refusal_title, form.refusal) == ("Too much.", "Less is left.")
    key = form.idempotency_key
    form.take_error(ApiProblem(422, "idempotency_key_reused", "Used.", ""))
    assert form.idempotency_key != key
