"""Secrets in the output of commands: each is a canary, and no output contains one."""

import pytest

from .canaries import (
    CURSOR_KEY,
    DATABASE_PASSWORD,
    SECRETS,
    UI_SECRET_KEY,
    WRONG_API_KEY,
    assert_absent,
    run_command,
)


@pytest.mark.parametrize(
    "command",
    [
        ("payments_api", "--help"),
        ("payments_api", "serve"),
        ("payments_api", "migrate"),
        ("recon_worker", "run"),
        ("payments_ui", "serve"),
    ],
    ids=" ".join,
)
def test_a_failing_command_reveals_no_secret(command: tuple[str, ...]) -> None:
    output = run_command(
        *command,
        # No process listens there, and each service has an invalid setting.
        DATABASE_URL=f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:9/payments?sslmode=no",
        PAYMENTS_API_CURSOR_KEY=CURSOR_KEY,
        PAYMENTS_UI_SECRET_KEY=UI_SECRET_KEY,
        PAYMENTS_UI_API_KEY=f"{WRONG_API_KEY}\n",
        PAYMENTS_UI_PORT="none",
        LOG_LEVEL="DEBUG",
    )
    assert output
    assert_absent(" ".join(command), output, SECRETS)


@pytest.mark.parametrize(
    "command",
    [("payments_api", "validate"), ("recon_worker", "audit")],
    ids=" ".join,
)
def test_a_command_without_database_reveals_no_secret(command: tuple[str, ...]) -> None:
    url = f"postgresql://u:{DATABASE_PASSWORD}@127.0.0.1:9/payments"
    output = run_command(*command, DATABASE_URL=url, LOG_LEVEL="DEBUG")
    assert output
    assert_absent(" ".join(command), output, SECRETS)
