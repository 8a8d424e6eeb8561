"""Money: exact from JSON text to Postgres and back, or rejected with a reason."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments_core.domain.money import (
    AMOUNT_LIMIT,
    MoneyError,
    UnknownCurrency,
    amount_text,
    currencies,
    decimals_of,
    exact_amount,
    parse_amount,
)
from testkit.database.sql import Sql

CURRENCIES = st.sampled_from(currencies())


@st.composite
def amounts(draw: st.DrawFn) -> tuple[str, Decimal]:
    """Return a currency and an amount that it can express."""
    currency = draw(CURRENCIES)
    unit = Decimal(1).scaleb(-decimals_of(currency))
    most = int((AMOUNT_LIMIT - unit) / unit)
    return currency, exact_amount(draw(st.integers(-most, most)) * unit, currency)


ACCEPTED = [
    # currency, JSON value, stored and shown text
    ("USD", 100, "100.00"),
    ("USD", Decimal("100.0"), "100.00"),
    ("USD", Decimal("1e2"), "100.00"),
    ("USD", "100.00", "100.00"),
    ("USD", "1E+2", "100.00"),
    ("USD", "7.130", "7.13"),
    ("USD", Decimal("-5.13"), "-5.13"),
    ("USD", 0, "0.00"),
    ("USD", Decimal("-0.00"), "0.00"),
    ("USD", "-0", "0.00"),
    ("USD", Decimal("0e999999999"), "0.00"),
    ("USD", 2**49 + 1, "562949953421313.00"),
    ("USD", "999999999999999.99", "999999999999999.99"),
    ("USD", "-999999999999999.99", "-999999999999999.99"),
    ("JPY", 100, "100"),
    ("JPY", "100.00", "100"),
    ("BHD", "1.234", "1.234"),
    ("CLF", "1.2345", "1.2345"),
]

REFUSED = [
    # currency, JSON value, part of the reason
    ("USD", Decimal("0.001"), "2 decimals"),
    ("USD", Decimal("0.005"), "2 decimals"),
    ("USD", "7.131", "2 decimals"),
    ("USD", Decimal("1e-400"), "2 decimals"),
    ("USD", Decimal("1e-999999999"), "2 decimals"),
    ("JPY", "1.5", "0 decimals"),
    ("BHD", "1.2345", "3 decimals"),
    ("USD", Decimal("1e15"), "finite"),
    ("USD", "1000000000000000", "finite"),
    ("USD", 10**400, "finite"),
    ("USD", Decimal("1e400"), "finite"),
    ("USD", Decimal("1e999999999"), "finite"),
    ("USD", "1e999999999", "finite"),
    ("USD", Decimal("NaN"), "finite"),
    ("USD", Decimal("sNaN"), "finite"),
    ("USD", Decimal("-Infinity"), "finite"),
    ("USD", "NaN", "plain decimal"),
    ("USD", "Infinity", "plain decimal"),
    ("USD", "", "plain decimal"),
    ("USD", "-", "plain decimal"),
    ("USD", ".5", "plain decimal"),
    ("USD", "1.", "plain decimal"),
    ("USD", "1.e2", "plain decimal"),
    ("USD", "1.2.3", "plain decimal"),
    ("USD", "1e", "plain decimal"),
    ("USD", "+1", "plain decimal"),
    ("USD", " 1", "plain decimal"),
    ("USD", "1\n", "plain decimal"),
    ("USD", "1_000", "plain decimal"),
    ("USD", "1,000", "plain decimal"),
    ("USD", "$1", "plain decimal"),
    ("USD", "0x10", "plain decimal"),
    ("USD", "١٠٠", "plain decimal"),
    ("USD", "１００", "plain decimal"),
    ("USD", "1" * 65, "plain decimal"),
    ("USD", "1e9999999999999999999999", "plain decimal"),
    ("USD", "0100", "leading zeros"),
    ("USD", "-00.5", "leading zeros"),
    ("USD", True, "JSON number"),
    ("USD", None, "JSON number"),
    ("USD", [], "JSON number"),
    ("USD", {}, "JSON number"),
    ("USD", 1.5, "JSON number"),
]


@pytest.mark.parametrize(("currency", "raw", "text"), ACCEPTED)
def test_an_amount_is_parsed_exactly(currency: str, raw: object, text: str) -> None:
    assert amount_text(parse_amount(raw, currency)) == text


@pytest.mark.parametrize(
    ("currency", "raw", "reason"), REFUSED, ids=[repr(raw)[:30] for _, raw, _ in REFUSED]
)
def test_an_inexact_amount_is_rejected_with_a_reason(
    currency: str, raw: object, reason: str
) -> None:
    with pytest.raises(MoneyError, match=reason):
        parse_amount(raw, currency)


@pytest.mark.parametrize("code", ["usd", "USDT", "XAU", "XXX", "", "US", None, 7, [], {}])
def test_an_unknown_currency_is_rejected(code: Any) -> None:
    with pytest.raises(UnknownCurrency, match="ISO 4217"):
        decimals_of(code)


@given(amounts())
def test_every_amount_round_trips_through_text(money: tuple[str, Decimal]) -> None:
    currency, amount = money
    text = amount_text(amount)
    assert parse_amount(text, currency) == amount
    assert amount_text(parse_amount(text, currency)) == text


@given(amounts(), st.integers(0, 6))
def test_spelling_does_not_change_an_amount(money: tuple[str, Decimal], zeros: int) -> None:
    currency, amount = money
    exact = exact_amount(amount, currency)
    plain = amount_text(amount)
    longer = (plain if "." in plain else f"{plain}.") + "0" * max(zeros, 1)
    for spelling in (f"{amount:e}", longer):
        read = parse_amount(json.loads(spelling, parse_float=Decimal), currency)
        # The same digits too, so that both are stored and shown equally.
        assert read.as_tuple() == exact.as_tuple()


@given(CURRENCIES, st.decimals(allow_nan=True, allow_infinity=True))
def test_an_amount_is_exact_or_rejected_never_rounded(currency: str, raw: Decimal) -> None:
    try:
        amount = parse_amount(raw, currency)
    except MoneyError:
        return
    assert amount == raw
    assert -amount.as_tuple().exponent == decimals_of(currency)  # type: ignore[operator]  # An int: finite.
    assert abs(amount) < AMOUNT_LIMIT


@given(st.text(max_size=80))
def test_any_text_gives_an_amount_or_a_rejection(text: str) -> None:
    try:
        amount = parse_amount(text, "USD")
    except MoneyError:
        return
    assert amount.is_finite()


async def test_every_amount_round_trips_through_postgres(sql: Sql) -> None:
    loop = asyncio.get_running_loop()

    def through_postgres(amount: Decimal) -> Decimal:
        there = sql.fetchval("SELECT $1::numeric", amount)
        back: Decimal = asyncio.run_coroutine_threadsafe(there, loop).result()
        return back

    @settings(max_examples=100)
    @given(amounts())
    def survives(money: tuple[str, Decimal]) -> None:
        _, amount = money
        assert amount_text(through_postgres(amount)) == amount_text(amount)

    await asyncio.to_thread(survives)
