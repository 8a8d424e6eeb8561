"""A typed amount, in the notation of any language, has one meaning or is rejected."""

import pytest

from payments_ui.payments.amounts import AmbiguousAmount, plain_amount
from payments_ui.payments.forms import PayForm


@pytest.mark.parametrize(
    ("typed", "currency", "plain"),
    [
        ("5", "USD", "5"),
        ("5.00", "USD", "5.00"),
        ("5,00", "EUR", "5.00"),
        ("1,234.56", "USD", "1234.56"),
        ("1.234,56", "EUR", "1234.56"),
        ("1 234,56", "EUR", "1234.56"),
        ("1\u202f234\u00a0567,8", "EUR", "1234567.8"),
        ("1'234.50", "CHF", "1234.50"),
        ("1\u2019234.50", "CHF", "1234.50"),
        ("1.000.000", "EUR", "1000000"),
        ("1,000,000", "USD", "1000000"),
        ("12,34,567.89", "INR", "1234567.89"),
        ("1 000", "EUR", "1000"),
        ("1234.567", "USD", "1234.567"),  # Not grouping: the API rejects three decimals.
        ("0.125", "USD", "0.125"),
        ("1.125", "KWD", "1.125"),
        ("-5.25", "USD", "-5.25"),
        ("\u2212" + "5.25", "USD", "-5.25"),  # In the page's own notation.
        ("1.2.3", "USD", "1.2.3"),
        ("1 5", "USD", "1 5"),
        ("1,23,4", "USD", "1,23,4"),
        ("5 USD", "USD", "5 USD"),
        ("1e3", "USD", "1e3"),
        ("", "USD", ""),
    ],
)
def test_an_unambiguous_amount_is_understood(typed: str, currency: str, plain: str) -> None:
    assert plain_amount(typed, currency) == plain


@pytest.mark.parametrize(
    ("typed", "currency", "advice"),
    [
        ("1.000", "USD", "type 1000 without a separator, or the decimals as in 1.00"),
        ("1,000", "USD", "type 1000 without a separator, or the decimals as in 1.00"),
        ("12.345", "EUR", "type 12345 without a separator, or the decimals as in 12.34"),
        ("-1.000", "USD", "type 1000 without a separator, or the decimals as in 1.00"),
        ("1,125", "KWD", "type 1125 without a separator, or the decimals as in 1.125"),
        ("1,000", "JPY", "type 1000 without a separator"),
        ("1.000", "JPY", "type 1000 without a separator"),
    ],
)
def test_an_ambiguous_amount_is_rejected(typed: str, currency: str, advice: str) -> None:
    with pytest.raises(AmbiguousAmount, match=f"could be read in two ways: {advice}$"):
        plain_amount(typed, currency)
    form = PayForm.read({"accountId": "a", "amount": typed, "currency": currency})
    assert form.errors["amount"] == f"“{typed}” could be read in two ways: {advice}."
    assert form.amount == typed
