"""An invalid setting ends the start and is named; docs/settings.md lists all settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from payments_api.__main__ import main
from payments_api.settings import ApiSettings
from payments_core.config import read_settings, variables_of

ROOT = Path(__file__).parents[2]

WRONG = [
    # variable, value
    ("PAYMENTS_API_PORT", "eighty"),
    ("PAYMENTS_API_PORT", "0"),
    ("PAYMENTS_API_PORT", "65536"),
    ("PAYMENTS_API_PORT", ""),
    ("PAYMENTS_API_POOL_SIZE", "0"),
    ("PAYMENTS_API_INSERT_CONCURRENCY", "9"),
    ("PAYMENTS_API_CREATE_QUEUE_MAX", "-1"),
    ("PAYMENTS_API_DRAIN_SECONDS", "0"),
    ("PAYMENTS_API_DRAIN_SECONDS", "nan"),
    ("PAYMENTS_API_DRAIN_SECONDS", "inf"),
    ("PAYMENTS_API_SHUTDOWN_DELAY_SECONDS", "-1"),
    ("PAYMENTS_API_CURSOR_KEY", "too-short-secret"[:15]),
    ("PAYMENTS_API_AUTH", "yes"),
    ("PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE", "perhaps"),
    ("PAYMENTS_API_ALLOWED_HOSTS", "localhost:3001"),
    ("PAYMENTS_API_ALLOWED_HOSTS", "*"),
    ("DATABASE_URL", "mysql://x:hidden@localhost/payments"),
    ("DATABASE_URL", "localhost:hidden"),
    ("DATABASE_URL", "postgresql://x?:hidden@localhost:5432/payments"),
    ("DATABASE_URL", "postgresql://x#:hidden@localhost:5432/payments"),
    ("DATABASE_URL", "postgresql://x:hidden@one:5432,two:5432/payments"),
    ("DATABASE_PASSWORD_FILE", "/nowhere/password"),
    ("DATABASE_PASSWORD_FILE", "/" + "too-long" * 100),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        read_settings(ApiSettings)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith(f"{variable}: ")
    assert said.count("\n") == 1
    # The error must not print the password.
    assert "hidden" not in said
    assert "too-short" not in said


def test_every_wrong_variable_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENTS_API_PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "x")
    with pytest.raises(SystemExit):
        read_settings(ApiSettings)
    named = {line.split(":")[0] for line in capsys.readouterr().err.splitlines()}
    assert named == {"PAYMENTS_API_PORT", "LOG_LEVEL"}


def test_each_variable_is_read_under_its_documented_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    values = {
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "json",
        "DATABASE_URL": "postgresql://u@h/d",
        "DATABASE_PASSWORD_FILE": str(password),
        "PAYMENTS_API_HOST": "0.0.0.0",
        "PAYMENTS_API_REUSE_PORT": "True",
        "PAYMENTS_API_AUTH": "on",
        "PAYMENTS_API_POOL_SIZE": "10",
        "PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE": "True",
        "PAYMENTS_API_CURSOR_KEY": "k" * 16,
        "PAYMENTS_API_RATE_LIMIT_PER_KEY": "7/second",
        "PAYMENTS_API_RATE_LIMIT_PER_ADDRESS": "7/hour",
        "PAYMENTS_API_RATE_LIMIT_EXEMPT": "10.0.0.0/8",
        "PAYMENTS_API_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "PAYMENTS_API_FORWARDED_HEADER": "forwarded",
    }
    names = [variable.name for variable in variables_of(ApiSettings)]
    for name in names:
        monkeypatch.setenv(name, values.get(name, "7"))
    read = read_settings(ApiSettings).model_dump().values()
    for name, value in zip(names, read, strict=True):
        assert str(value) in (values.get(name, "7"), "7.0"), name


def test_inserts_leave_connections_to_other_statements(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENTS_API_POOL_SIZE", "7")
    monkeypatch.setenv("PAYMENTS_API_INSERT_CONCURRENCY", "4")
    assert read_settings(ApiSettings).read_connections_max == 1
    monkeypatch.setenv("PAYMENTS_API_INSERT_CONCURRENCY", "5")
    with pytest.raises(SystemExit):
        read_settings(ApiSettings)
    error = capsys.readouterr().err
    assert error.startswith("PAYMENTS_API_INSERT_CONCURRENCY: must be at most")
    assert error.count("\n") == 1


LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "localhost"]
ELSEWHERE = ["0.0.0.0", "::", "10.0.0.7", "payments.example", ""]


@pytest.mark.parametrize("host", [*LOOPBACK, *ELSEWHERE])
@pytest.mark.parametrize("auth", ["on", "off"])
@pytest.mark.parametrize("twice", [None, "true", "false"])
def test_auth_off_needs_a_second_setting_on_a_network(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    auth: str,
    twice: str | None,
) -> None:
    monkeypatch.setenv("PAYMENTS_API_HOST", host)
    monkeypatch.setenv("PAYMENTS_API_AUTH", auth)
    if twice is not None:
        monkeypatch.setenv("PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE", twice)
    if auth == "on" or host in LOOPBACK or twice == "true":
        assert read_settings(ApiSettings).auth == auth
        return
    with pytest.raises(SystemExit) as end:
        read_settings(ApiSettings)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE: ")
    assert said.count("\n") == 1


def test_keys_are_required_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYMENTS_API_AUTH", raising=False)
    assert read_settings(ApiSettings).auth == "on"


def test_an_unknown_variable_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_API_NO_SUCH", "1")
    read_settings(ApiSettings)


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["migrate"], ["validate"], ["openapi"], ["healthcheck"], ["keys"]]
)
def test_help_explains_each_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["payments-api", *arguments, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: payments-api")
    if not arguments:
        for variable in variables_of(ApiSettings):
            assert variable.name in said
            assert variable.description


def test_the_settings_page_equals_the_generated_one(tmp_path: Path) -> None:
    copy = tmp_path / "generate_settings.py"
    copy.write_text((ROOT / "docs" / "generate_settings.py").read_text())
    subprocess.run([sys.executable, str(copy)], check=True, env={**os.environ, "PORT": ""})
    committed = (ROOT / "docs" / "settings.md").read_text()
    assert (tmp_path / "settings.md").read_text() == committed, "run make settings-docs"
    assert len(re.findall(r"^\| `", committed, re.MULTILINE)) > 30
