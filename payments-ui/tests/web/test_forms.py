"""What a form shows of the API's refusal."""

import pytest

from payments_ui.api.errors import ApiProblem
from payments_ui.payments.reversing import ReverseForm


@pytest.mark.parametrize(
    ("detail", "shown"), [("Not enough is left.", ""), ("Only 5.00 EUR is left.",) * 2]
)
def test_a_problems_title_is_not_shown_twice(detail: str, shown: str) -> None:
    form = ReverseForm()
    form.take_error(ApiProblem(409, "reversal_exceeds_payment", "Not enough is left.", detail))
    assert (form.refusal_title, form.refusal) == ("Not enough is left.", shown)
