"""What of Prometheus these tests need, and what happens where it is not installed."""

import os
import shutil

import pytest
from demo.prometheus import OBSERVABILITY, Prometheus, prometheus_server

__all__ = ["OBSERVABILITY", "Prometheus", "prometheus_server", "require"]


def require(program: str) -> str:
    """Where the program is; the test is skipped, or fails under REQUIRE=prometheus, without."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed (Debian: apt install prometheus)"
        if "prometheus" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=prometheus, and {reason}")
        pytest.skip(reason)
    return found
