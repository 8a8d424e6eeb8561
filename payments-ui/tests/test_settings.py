"""A wrong value stops the start with a line that names its variable."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMENTS_UI_PORT", "seven"),
        ("PAYMENTS_UI_PORT", "70000"),
        ("PAYMENTS_UI_API_URL", "localhost:3001"),
        ("PAYMENTS_UI_API_URL", "ftp://localhost"),
        ("PAYMENTS_UI_TRACE_URL", "http://traces/without-a-place"),
        ("PAYMENTS_UI_API_TIMEOUT_SECONDS", "0"),
        ("PAYMENTS_UI_SECRET_KEY", "short"),
    ],
)
def test_a_wrong_value_is_one_line(name: str, value: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "payments_ui", "serve"],
        env={name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    [line] = ended.stderr.splitlines()
    assert line.startswith(name)
