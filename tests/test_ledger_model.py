"""The real API, worker and Postgres, driven at random and compared with a model of the ledger.

Hypothesis chooses the actions of clients, workers and operators; after each step the system and a
model in plain Python must agree.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from testkit.model.reversals import ReversalMachine
from testkit.model.system import driven_system


def test_the_system_agrees_with_the_model_after_any_actions(emptied_url: str) -> None:
    with driven_system(emptied_url) as system:
        run_state_machine_as_test(
            type("Machine", (ReversalMachine,), {"system": system}),
            settings=settings(
                max_examples=10,
                stateful_step_count=30,
                # A failing run has thirty steps at most, short enough to read without shrinking.
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
