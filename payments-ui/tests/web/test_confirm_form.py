"""The message after an operator's failed action says no more than is known."""

import pytest

from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.web.confirm_form import ConfirmForm


@pytest.mark.parametrize(
    ("sent", "title", "advice"),
    [
        (True, "The outcome is unknown.", "Look in the audit log before you repeat the action."),
        (False, "Nothing was changed.", "Try again."),
    ],
)
def test_a_lost_answers_message_states_that_the_outcome_is_unknown(
    sent: bool, title: str, advice: str
) -> None:
    form = ConfirmForm("ada")
    assert form.take_error(ApiUnavailable("did not answer in time", sent)) == 503
    assert form.refusal_title == title
    assert form.refusal == f"The payments service did not answer in time. {advice}"


def test_a_rejection_is_shown_beside_its_field_or_above_the_form() -> None:
    form = ConfirmForm("ada")
    problem = ApiProblem(422, "validation_failed", "Invalid", "", {"reason": "must not be empty"})
    assert form.take_error(problem) == 422
    assert form.errors == {"reason": "Reason must not be empty."}
    assert not form.refusal
    form = ConfirmForm("ada")
    form.take_error(ApiProblem(409, "job_not_dead", "Not dead", "The job is not a dead letter."))
    assert (form.refusal_title, form.refusal) == (
        "The action was rejected.",
        "The job is not a dead letter.",
    )


def test_name_and_reason_are_required_and_bounded() -> None:
    form = ConfirmForm.read({"actor": " ", "reason": ""}, None, reason_required=True)
    assert set(form.errors) == {"actor", "reason"}
    form = ConfirmForm.read({"actor": "a" * 201, "reason": "r" * 1001}, None, reason_required=False)
    assert form.errors == {
        "actor": "Your name must have at most 200 characters.",
        "reason": "The reason must have at most 1000 characters.",
    }
    assert ConfirmForm.read({"actor": "eve"}, "ada", reason_required=False).actor == "ada"
