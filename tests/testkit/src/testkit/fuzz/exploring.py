"""The amount of fuzzing: some hundred fixed inputs in `make test`, a set time in `make fuzz`."""

import itertools
import os
from collections.abc import Callable
from time import monotonic
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy, tuples

SECONDS = float(
    os.environ.get("FUZZ_SECONDS", "0")
)  # Seconds for each property; 0 uses the fixed inputs.
SEED = int(os.environ.get("FUZZ_SEED", "1"))
EXAMPLES_FIXED = 60
EXAMPLES_A_ROUND = 200

Property = Callable[..., None]


def explored(*strategies: SearchStrategy[Any]) -> Callable[[Property], Callable[[], None]]:
    """Return a test that must hold for every input of these strategies.

    Without FUZZ_SECONDS the inputs are the same in every run; with it they come from FUZZ_SEED,
    round after round. `test.property` is Hypothesis' own test, which also takes bytes.
    """

    def of(claim: Property) -> Callable[[], None]:
        def trying(examples: int, **more: Any) -> Any:
            # A new function each time: Hypothesis allows one @given for each.
            def claimed(inputs: tuple[Any, ...]) -> None:
                claim(*inputs)

            claimed.__name__ = claimed.__qualname__ = claim.__name__
            rules = settings(
                max_examples=examples,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                **more,
            )
            return rules(given(tuples(*strategies))(claimed))

        def test() -> None:
            if not SECONDS:
                trying(EXAMPLES_FIXED, derandomize=True)()
                return
            end = monotonic() + SECONDS
            for round_seed in itertools.count(SEED):
                seed(round_seed)(trying(EXAMPLES_A_ROUND))()
                if monotonic() > end:
                    break

        test.__name__, test.__qualname__ = claim.__name__, claim.__qualname__
        test.__doc__, test.__module__ = claim.__doc__, claim.__module__
        test.property = trying(EXAMPLES_FIXED)  # type: ignore[attr-defined]  # For atheris.
        return test

    return of
