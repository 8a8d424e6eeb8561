"""Fixtures for the tests of images, compose and development environments."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent

ANSWER_SECONDS_MAX = 20
BUILD_SECONDS_MAX = 600


def why_no_engine() -> str | None:
    """Return None if images can be built and composed, else the reason."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=ANSWER_SECONDS_MAX, check=False
            )
        except FileNotFoundError:
            return "there is no docker command"
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} does not answer"
        if done.returncode != 0:
            return f"{' '.join(command)} fails: no engine runs here (make engine starts one)"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `engine` without an engine, unless REQUIRE names it."""
    ours = [i for i in items if FOLDER in i.path.parents and i.get_closest_marker("engine")]
    if not ours or "engine" in os.environ.get("REQUIRE", "").split(","):
        return
    if reason := why_no_engine():
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def images() -> str:
    """Build the three images from this tree; return their tag. They are kept for their layers."""
    tag = "tested"
    environ = {**os.environ, "IMAGE_TAG": tag, "VERSION": "1.2.3-test", "REVISION": "0" * 40}
    built = subprocess.run(
        ["docker", "compose", "build", "--quiet"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    return tag
