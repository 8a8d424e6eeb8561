"""The duration of a statement is observed for every outcome."""

import pytest
from prometheus_client import REGISTRY

from payments_api.metrics import statement_measured


def test_a_statement_that_times_out_is_observed() -> None:
    name = "payments_api_statement_duration_seconds_count"
    before = REGISTRY.get_sample_value(name) or 0.0
    with pytest.raises(TimeoutError), statement_measured(1):
        raise TimeoutError
    assert REGISTRY.get_sample_value(name) == before + 1
