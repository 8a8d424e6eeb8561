"""Short names of parametrised tests: a failure line shows where a long text begins."""

import pytest

CHARACTERS_MAX = 30


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Return the beginning of a long text; None leaves the name to pytest."""
    if isinstance(val, bytes):
        val = val.decode("latin1")
    if isinstance(val, str) and len(val) > CHARACTERS_MAX:
        return f"{val[: CHARACTERS_MAX - 3]}..."
    return None
