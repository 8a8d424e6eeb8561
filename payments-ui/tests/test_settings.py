"""An invalid setting ends the start with one line that names the variable."""

import subprocess
import sys

import pytest
from argon2 import PasswordHasher, Type

from payments_core.config import read_settings
from payments_ui.settings import Settings


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAYMENTS_UI_SIGN_IN", "maybe"),
        ("PAYMENTS_UI_SIGN_IN", "password"),
        ("PAYMENTS_UI_SIGN_IN", "oidc"),
        ("PAYMENTS_UI_PASSWORD_HASH", "hunter2hunter2hunter2"),
        ("PAYMENTS_UI_PASSWORD", "hunter2"),
        ("PAYMENTS_UI_PUBLIC_URL", "https://payments.example/page"),
        ("PAYMENTS_UI_OIDC_ISSUER", "http://provider.example"),
        ("PAYMENTS_UI_OIDC_ALGORITHMS", "RS256,none"),
        ("PAYMENTS_UI_OIDC_ALGORITHMS", "HS256"),
        ("PAYMENTS_UI_OIDC_SCOPES", "profile"),
    ],
)
def test_a_wrong_sign_in_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        read_settings(Settings)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(name)
    assert "PASSWORD" not in name or value not in line


OIDC = {
    "PAYMENTS_UI_SIGN_IN": "oidc",
    "PAYMENTS_UI_OIDC_ISSUER": "https://provider.example",
    "PAYMENTS_UI_OIDC_CLIENT_ID": "page",
    "PAYMENTS_UI_PUBLIC_URL": "https://payments.example",
    "PAYMENTS_UI_OIDC_VIEWERS": "*",
}


@pytest.mark.parametrize("left_out", [name for name in OIDC if not name.endswith("SIGN_IN")])
def test_missing_sign_in_settings_are_named_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left_out: str
) -> None:
    secret = "a secret of ours, of many characters"
    for name, value in OIDC.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PAYMENTS_UI_SECRET_KEY", secret)
    assert read_settings(Settings).sign_in == "oidc"
    monkeypatch.delenv(left_out)
    with pytest.raises(SystemExit):
        read_settings(Settings)
    said = capsys.readouterr().err
    assert left_out in said
    assert secret not in said


@pytest.mark.parametrize(
    ("host", "sign_in", "twice", "starts"),
    [
        ("127.0.0.1", "off", "false", True),
        ("localhost", "off", "false", True),
        ("::1", "off", "false", True),
        ("0.0.0.0", "off", "false", False),
        ("::", "off", "false", False),
        ("10.0.0.7", "off", "false", False),
        ("page.example", "off", "false", False),
        ("0.0.0.0", "off", "true", True),
        ("0.0.0.0", "password", "false", True),
    ],
)
def test_a_page_without_sign_in_needs_an_explicit_setting_on_a_network(
    monkeypatch: pytest.MonkeyPatch, host: str, sign_in: str, twice: str, starts: bool
) -> None:
    monkeypatch.setenv("PAYMENTS_UI_HOST", host)
    monkeypatch.setenv("PAYMENTS_UI_SIGN_IN", sign_in)
    monkeypatch.setenv("PAYMENTS_UI_ALLOW_UNAUTHENTICATED_REMOTE", twice)
    monkeypatch.setenv("PAYMENTS_UI_PASSWORD", "made by a machine")
    monkeypatch.setenv("PAYMENTS_UI_PUBLIC_URL", "https://payments.example")
    if starts:
        assert read_settings(Settings).host == host
    else:
        with pytest.raises(SystemExit):
            read_settings(Settings)


TOY_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x" * 20)
ARGON2I_HASH = PasswordHasher(time_cost=3, memory_cost=19456, type=Type.I).hash("x" * 20)
PASSWORD_SIGN_IN = {
    "PAYMENTS_UI_SIGN_IN": "password",
    "PAYMENTS_UI_PASSWORD": "made by a machine",
}
HTTPS = {"PAYMENTS_UI_PUBLIC_URL": "https://payments.example"}
API_KEY = {"PAYMENTS_UI_API_KEY": "pay_0123456789ab_" + "S" * 43}
API_ELSEWHERE = {"PAYMENTS_UI_API_URL": "http://payments-api:3001", **API_KEY}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PAYMENTS_UI_PASSWORD_HASH": TOY_HASH}, "PAYMENTS_UI_PASSWORD_HASH"),
        ({"PAYMENTS_UI_PASSWORD_HASH": ARGON2I_HASH}, "PAYMENTS_UI_PASSWORD_HASH"),
        ({"PAYMENTS_UI_TRUSTED_PROXIES": "0.0.0.0/0"}, "PAYMENTS_UI_TRUSTED_PROXIES"),
        ({"PAYMENTS_UI_TRUSTED_PROXIES": "10.0.0.0/8,::/0"}, "PAYMENTS_UI_TRUSTED_PROXIES"),
        ({"PAYMENTS_UI_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, "PAYMENTS_UI_TRUSTED_PROXIES"),
        ({"PAYMENTS_UI_HOST": "0.0.0.0", **PASSWORD_SIGN_IN}, "PAYMENTS_UI_PUBLIC_URL"),
        ({"PAYMENTS_UI_HOST": "10.0.0.7", **PASSWORD_SIGN_IN}, "PAYMENTS_UI_PUBLIC_URL"),
        (
            {"PAYMENTS_UI_PUBLIC_URL": "http://payments.example", **PASSWORD_SIGN_IN},
            "PAYMENTS_UI_PUBLIC_URL",
        ),
        (API_ELSEWHERE, "PAYMENTS_UI_API_URL"),
    ],
)
def test_an_unsafe_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    named: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        read_settings(Settings)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{named}: ")
    assert not any(name.endswith(("KEY", "HASH")) and v in line for name, v in variables.items())


@pytest.mark.parametrize(
    "variables",
    [
        {"PAYMENTS_UI_PASSWORD_HASH": PasswordHasher().hash("x" * 20)},
        {"PAYMENTS_UI_TRUSTED_PROXIES": "10.0.0.0/8,fc00::/7"},
        {"PAYMENTS_UI_HOST": "0.0.0.0", **PASSWORD_SIGN_IN, **HTTPS},
        {
            "PAYMENTS_UI_HOST": "0.0.0.0",
            "PAYMENTS_UI_PUBLIC_URL": "http://localhost:3000",
            **PASSWORD_SIGN_IN,
        },
        PASSWORD_SIGN_IN,
        {**API_ELSEWHERE, "PAYMENTS_UI_API_URL": "https://payments-api:3001"},
        {**API_ELSEWHERE, "PAYMENTS_UI_ALLOW_PLAINTEXT_API_KEY": "true"},
        API_KEY,
    ],
)
def test_a_safe_setting_is_accepted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read_settings(Settings)


@pytest.mark.parametrize(
    ("public_url", "secure"),
    [(None, False), ("http://localhost:3000", False), ("https://payments.example", True)],
)
def test_cookies_are_secure_exactly_under_https(public_url: str | None, secure: bool) -> None:
    assert Settings(public_url=public_url).https == secure
