"""The list's filters, from the page's address to the API's parameters and back."""

import pytest

from payments_ui.payments.amounts import AmbiguousAmount
from payments_ui.payments.filters import Filters


def test_filters_become_the_apis_parameters() -> None:
    filters = Filters.read(
        {"account": "a", "status": "discrepancy", "currency": "eur", "start": "2026-11-22T20:00"}
    )
    assert filters.api_params() == {
        "accountId": "a",
        "currency": "EUR",
        "createdFrom": "2026-11-22T20:00:00Z",
        "discrepancy": "true",
    }
    assert Filters.read({"status": "attention"}).api_params() == {"deadLetter": "true"}
    filters = Filters.read({"description": " rent ", "order": "asc"})
    assert filters.api_params() == {"description": "rent", "order": "asc"}
    assert filters.api_filters() == {"description": "rent"}


@pytest.mark.parametrize(
    ("typed", "currency", "sent"),
    [
        ("1,234.56", "", "1234.56"),
        ("1.234,56", "EUR", "1234.56"),
        ("1 234,5", "", "1234.5"),
        ("-5", "", "-5"),
        ("five", "", "five"),
    ],
)
def test_an_amount_is_read_as_people_type_it(typed: str, currency: str, sent: str) -> None:
    filters = Filters.read({"amount": typed, "currency": currency})
    assert filters.api_params()["amount"] == sent
    assert filters.query()["amount"] == typed


def test_a_time_with_an_offset_is_turned_into_utc() -> None:
    assert Filters.read({"end": "2026-11-22T20:00+02:00"}).end == "2026-11-22T18:00"


def test_a_year_keeps_its_four_digits() -> None:
    filters = Filters.read({"start": "0999-12-31T23:30-01:00"})
    assert filters.start == "1000-01-01T00:30"
    assert Filters.read({"start": "0999-01-01T00:30"}).api_params() == {
        "createdFrom": "0999-01-01T00:30:00Z"
    }


def test_invalid_filters_in_the_url_are_ignored() -> None:
    assert not Filters.read({"status": "lost", "start": "yesterday", "end": "", "order": "asc"})
    assert Filters.read({"order": "upwards"}).order == ""


@pytest.mark.parametrize("typed", ["1.000", "1,000", "-2,500"])
def test_an_amount_of_two_meanings_is_not_sent(typed: str) -> None:
    with pytest.raises(AmbiguousAmount):
        Filters.read({"amount": typed}).api_params()
