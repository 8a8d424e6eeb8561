"""The rules, over every possible amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core.domain.money import AMOUNT_LIMIT, DECIMALS_MAX, exact_amount
from recon_worker.reconciliation.rules import (
    DISCREPANCY,
    MATCHED,
    NEGATIVE,
    RULE_VERSION,
    ZERO,
    Outcome,
    decide,
)

AMOUNTS = st.decimals(
    -AMOUNT_LIMIT + 1, AMOUNT_LIMIT - 1, allow_nan=False, allow_infinity=False, places=DECIMALS_MAX
)
WHOLE = st.integers(0, 10**15 - 1)


@given(amount=AMOUNTS)
def test_every_amount_has_exactly_one_outcome(amount: Decimal) -> None:
    outcome = decide(amount)
    assert outcome in (NEGATIVE, ZERO, DISCREPANCY, MATCHED)
    assert (outcome.payment_status == "completed") == (amount > 0)
    assert outcome.matched == (outcome.result_status == "completed")
    assert (outcome.discrepancy_amount is not None) == (not outcome.matched and amount > 0)


@given(amount=AMOUNTS)
def test_spellings_of_an_amount_have_the_same_outcome(amount: Decimal) -> None:
    assert decide(amount) == decide(amount.normalize()) == decide(Decimal(str(amount)))


@given(whole=WHOLE)
def test_thirteen_hundredths_is_a_discrepancy_of_any_size(whole: int) -> None:
    assert decide(Decimal(f"{whole}.13")) == DISCREPANCY
    assert decide(Decimal(f"{whole}.1300")) == DISCREPANCY


@given(whole=WHOLE, fraction=st.integers(0, 9999).filter(lambda n: n != 1300))
def test_no_other_fraction_is_a_discrepancy(whole: int, fraction: int) -> None:
    amount = Decimal(f"{whole}.{fraction:04d}")
    assert decide(amount) == (MATCHED if amount else ZERO)


@given(whole=WHOLE)
def test_a_negative_amount_fails_despite_thirteen_hundredths(whole: int) -> None:
    assert decide(Decimal(f"-{whole}.13")) == NEGATIVE


@pytest.mark.parametrize("zero", ["0", "0.00", "-0", "-0.00", "0E+10"])
def test_zero_fails_whatever_its_sign_and_decimals(zero: str) -> None:
    assert decide(Decimal(zero)) == ZERO


@pytest.mark.parametrize(
    ("currency", "amount", "outcome"),
    [
        ("JPY", "113", MATCHED),
        ("JPY", "13", MATCHED),
        ("USD", "5.13", DISCREPANCY),
        ("USD", "0.13", DISCREPANCY),
        ("USD", "5.31", MATCHED),
        ("BHD", "5.13", DISCREPANCY),
        ("BHD", "5.131", MATCHED),
        ("BHD", "5.013", MATCHED),
        ("CLF", "5.13", DISCREPANCY),
        ("CLF", "5.1301", MATCHED),
        ("CLF", "0.0013", MATCHED),
    ],
)
def test_the_fraction_is_of_the_amount_not_of_its_minor_units(
    currency: str, amount: str, outcome: Outcome
) -> None:
    assert decide(exact_amount(Decimal(amount), currency)) == outcome


def test_the_notes_have_the_specified_text() -> None:
    assert RULE_VERSION == 1
    assert NEGATIVE.notes == "Negative amount not allowed"
    assert ZERO.notes == "Zero amount not allowed"
    assert DISCREPANCY.discrepancy_amount == Decimal("0.13")
