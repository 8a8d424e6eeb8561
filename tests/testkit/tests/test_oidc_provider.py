"""The provider for manual sign-in prints its settings at once and ends quietly."""

import os
import signal
import subprocess
import sys

import pytest

from testkit.sign_in.oidc_provider import PEOPLE

COMMAND = (sys.executable, "-m", "testkit.sign_in.oidc_provider", "0")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_settings_and_users_and_ends_without_a_traceback(end: signal.Signals) -> None:
    environ = {**os.environ, "UI_PORT": "4000"}
    with subprocess.Popen(
        COMMAND, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1] and not lines[-1].startswith("#"):
            lines.append(process.stdout.readline())
        process.send_signal(end)
        rest = process.communicate(timeout=20)
    assert "export PAYMENTS_UI_PUBLIC_URL='http://127.0.0.1:4000'\n" in lines
    assert all(f"{name}: " in lines[-1] for name in PEOPLE)
    assert (process.returncode, rest) == (0, ("", ""))
