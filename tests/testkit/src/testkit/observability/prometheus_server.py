"""Prometheus for tests: its programs, or a skip if they are not installed."""

import os
import shutil

import pytest
from demo.prometheus import OBSERVABILITY, Prometheus, prometheus_server

__all__ = ["OBSERVABILITY", "Prometheus", "prometheus_server", "require"]


def require(program: str) -> str:
    """Return the program's path; without it, skip the test, or fail under REQUIRE=prometheus."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed (Debian: apt install prometheus)"
        if "prometheus" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=prometheus, and {reason}")
        pytest.skip(reason)
    return found
