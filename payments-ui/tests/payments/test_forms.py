"""Form input is cleaned, and validated only by the API."""

from pathlib import Path

import pytest

import payments_ui
from payments_ui.payments.forms import Filters, PayForm, is_uuid
from payments_ui.web.forms import as_sentence

KEY = "5f0c9f5e-3a44-4e55-9d0e-0d5f0c9f5e3a"


def test_each_drawn_form_has_a_key_of_its_own() -> None:
    assert PayForm().idempotency_key != PayForm().idempotency_key


def test_a_submitted_form_keeps_its_key() -> None:
    assert PayForm.read({"idempotencyKey": KEY}).idempotency_key == KEY


@pytest.mark.parametrize("foreign", ["", "x", "a" * 300, KEY + "\n"])
def test_a_key_that_is_none_is_replaced(foreign: str) -> None:
    assert is_uuid(PayForm.read({"idempotencyKey": foreign}).idempotency_key)


def test_what_is_needed_is_asked_for() -> None:
    assert PayForm.read({}).errors == {
        "accountId": "Account is required.",
        "amount": "Amount is required.",
    }


def test_grouped_digits_are_understood() -> None:
    form = PayForm.read({"accountId": " a ", "amount": "1 234\u202f567.80", "currency": "eur"})
    assert form.order() == {
        "accountId": "a",
        "amount": "1234567.80",
        "currency": "EUR",
        "description": "",
        "source": "default",
    }


def test_metadata_is_typed_as_lines() -> None:
    form = PayForm.read(
        {"accountId": "a", "amount": "1", "metadata": " order = 7\r\n\r\nformula=a=b\r\nempty="}
    )
    assert form.errors == {}
    assert form.order()["metadata"] == {"order": "7", "formula": "a=b", "empty": ""}


@pytest.mark.parametrize("typed", ["order", "order=7\nnothing", "a=1\na=2", "=\n=1"])
def test_metadata_that_is_no_lines_of_pairs_is_not_sent(typed: str) -> None:
    assert "metadata" in PayForm.read({"metadata": typed}).errors


def test_a_form_for_another_payment_keeps_the_input_and_not_the_key() -> None:
    form = PayForm.read({"accountId": "a", "reference": "R 1", "source": "bank-1"})
    again = form.again()
    assert (again.account_id, again.reference, again.source) == ("a", "R 1", "bank-1")
    assert again.idempotency_key != form.idempotency_key
    assert again.errors == {}


def test_no_text_is_cut_for_the_api_refuses_what_is_too_long() -> None:
    templates = Path(payments_ui.__file__).parent / "templates"
    assert not [path for path in templates.glob("*.html") if "maxlength" in path.read_text()]
    padded = "k=v" + "\n" * 7_000 + "last=one"
    fields = {"accountId": "a" * 1_001, "amount": "1" * 1_001, "description": "d" * 1_001}
    order = PayForm.read({**fields, "metadata": padded}).order()
    assert order | fields == order
    assert order["metadata"] == {"k": "v", "last": "one"}


def test_errors_of_unknown_fields_do_not_vanish() -> None:
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


def test_filters_speak_the_apis_language() -> None:
    filters = Filters.read(
        {"account": "a", "status": "discrepancy", "currency": "eur", "start": "2026-11-22T20:00"}
    )
    assert filters.api_params() == {
        "accountId": "a",
        "currency": "EUR",
        "createdFrom": "2026-11-22T20:00:00Z",
        "discrepancy": "true",
    }


def test_a_time_with_an_offset_is_turned_into_utc() -> None:
    assert Filters.read({"end": "2026-11-22T20:00+02:00"}).end == "2026-11-22T18:00"


def test_a_year_keeps_its_four_digits() -> None:
    filters = Filters.read({"start": "0999-12-31T23:30-01:00"})
    assert filters.start == "1000-01-01T00:30"
    assert Filters.read({"start": "0999-01-01T00:30"}).api_params() == {
        "createdFrom": "0999-01-01T00:30:00Z"
    }


def test_nonsense_in_the_address_narrows_nothing() -> None:
    assert not Filters.read({"status": "lost", "start": "yesterday", "end": ""})
