"""Form input is cleaned, and validated only by the API."""

from pathlib import Path

import pytest

import payments_ui
from payments_core.domain.ids import uuid_or_none
from payments_ui.payments.forms import PayForm
from payments_ui.web.forms import as_sentence

KEY = "5f0c9f5e-3a44-4e55-9d0e-0d5f0c9f5e3a"


def test_each_rendered_form_has_its_own_key() -> None:
    assert PayForm().idempotency_key != PayForm().idempotency_key


def test_a_submitted_form_keeps_its_key() -> None:
    assert PayForm.read({"idempotencyKey": KEY}).idempotency_key == KEY


@pytest.mark.parametrize("foreign", ["", "x", "a" * 300, KEY + "\n"])
def test_an_invalid_key_is_replaced(foreign: str) -> None:
    assert uuid_or_none(PayForm.read({"idempotencyKey": foreign}).idempotency_key)


def test_required_fields_are_named() -> None:
    assert PayForm.read({}).errors == {
        "accountId": "Account is required.",
        "amount": "Amount is required.",
    }


def test_grouped_digits_are_understood() -> None:
    form = PayForm.read({"accountId": " a ", "amount": "1 234\u202f567.80", "currency": "eur"})
    assert form.body() == {
        "accountId": "a",
        "amount": "1234567.80",
        "currency": "EUR",
        "description": "",
        "source": "default",
    }


def test_metadata_is_entered_as_lines() -> None:
    form = PayForm.read(
        {"accountId": "a", "amount": "1", "metadata": " order = 7\r\n\r\nformula=a=b\r\nempty="}
    )
    assert form.errors == {}
    assert form.body()["metadata"] == {"order": "7", "formula": "a=b", "empty": ""}


@pytest.mark.parametrize("typed", ["order", "order=7\nnothing", "a=1\na=2", "=\n=1"])
def test_malformed_metadata_is_not_sent(typed: str) -> None:
    assert "metadata" in PayForm.read({"metadata": typed}).errors


def test_a_form_for_another_payment_keeps_the_input_and_not_the_key() -> None:
    form = PayForm.read({"accountId": "a", "reference": "R 1", "source": "bank-1"})
    again = form.again()
    assert (again.account_id, again.reference, again.source) == ("a", "R 1", "bank-1")
    assert again.idempotency_key != form.idempotency_key
    assert again.errors == {}


def test_long_text_is_sent_uncut_for_the_api_to_reject() -> None:
    templates = Path(payments_ui.__file__).parent / "templates"
    assert not [path for path in templates.glob("*.html") if "maxlength" in path.read_text()]
    padded = "k=v" + "\n" * 7_000 + "last=one"
    fields = {"accountId": "a" * 1_001, "amount": "1" * 1_001, "description": "d" * 1_001}
    body = PayForm.read({**fields, "metadata": padded}).body()
    assert body | fields == body
    assert body["metadata"] == {"k": "v", "last": "one"}


def test_errors_of_unknown_fields_are_shown() -> None:
    form = PayForm()
    assert form.take_errors({"amount": "must be positive"})
    assert not form.take_errors({"surprise": "is wrong"})
    assert not form.take_errors({})


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ("must not be empty", "Amount must not be empty."),
        ("A currency is a code.", "A currency is a code."),
        ("", "Amount is not valid."),
    ],
)
def test_an_error_reads_as_a_sentence(detail: str, sentence: str) -> None:
    assert as_sentence("Amount", detail) == sentence
