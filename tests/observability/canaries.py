"""Canaries in place of secrets, and the search for them."""

import os
import subprocess
import sys

DATABASE_PASSWORD = "canary-of-the-database"
CURSOR_KEY = "canary-of-cursors-key"
UI_SECRET_KEY = "canary-of-the-pages-cookies"
OTLP_TOKEN = "canary-of-the-collector"
ROLE_PASSWORD = "canary-of-a-role"
WRONG_API_KEY = "canary-of-a-wrong-key"
SECRETS = (
    DATABASE_PASSWORD,
    CURSOR_KEY,
    UI_SECRET_KEY,
    OTLP_TOKEN,
    ROLE_PASSWORD,
    WRONG_API_KEY,
)


def run_command(*command: str, **environ: str) -> str:
    """Return a command's whole output, whether it succeeds or fails."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def assert_absent(where: str, text: str, names: tuple[str, ...]) -> None:
    for name in names:
        at = text.find(name)
        assert at < 0, f"{where}: {text[max(0, at - 300) : at + 100]}"
