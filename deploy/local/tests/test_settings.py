"""Each invalid value causes one line that names its variable."""

import shlex
from pathlib import Path

import pytest

from payments_local.announcement import announcement
from payments_local.errors import LocalError
from payments_local.services import plan
from payments_local.settings import LocalSettings


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"API_PORT": "http"}, "API_PORT='http' is not a port"),
        ({"API_PORT": "0"}, "API_PORT='0' is not a port"),
        ({"UI_PORT": "65536"}, "UI_PORT='65536' is not a port"),
        ({"WORKER_PORT": "-1"}, "WORKER_PORT='-1' is not a port"),
        ({"API_PORT": "1" * 5000}, "is not a port"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL must be postgresql://"),
        ({"DATABASE_URL": "postgresql://[::1/x"}, "DATABASE_URL "),
        ({"PG_PORT": "5432.0"}, "PG_PORT='5432.0' is not a port"),
        ({"PG_PORT": "٥٤٣٢"}, "is not a port"),
        ({"API_PORT": "3000"}, "API_PORT and UI_PORT are both 3000"),
        ({"API_PORT": "5432"}, "PG_PORT and API_PORT are both 5432"),
    ],
)
def test_a_wrong_value_names_its_variable(environ: dict[str, str], message: str) -> None:
    with pytest.raises(LocalError) as caught:
        LocalSettings.from_environ(environ)
    assert message in str(caught.value)


def test_an_empty_variable_means_the_default() -> None:
    settings = LocalSettings.from_environ({"API_PORT": "", "DATABASE_URL": "", "DATA_DIR": ""})
    assert settings == LocalSettings()


def test_a_given_database_replaces_the_embedded_server() -> None:
    url = "postgresql://bank@db.example/payments"
    settings = LocalSettings.from_environ({"DATABASE_URL": url, "API_PORT": "5432"})
    assert settings.url_for("payments_api") == url
    assert "PG_PORT" not in settings.ports()


def test_a_relative_data_folder_is_relative_to_the_current_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")
    assert LocalSettings.from_environ({"DATA_DIR": "x"}).data_dir == Path("/x")


@pytest.mark.parametrize(("auth", "allowed"), [(None, "true"), ("off", "true"), ("on", "false")])
def test_webhooks_reach_this_machine_unless_keys_are_required(
    monkeypatch: pytest.MonkeyPatch, auth: str | None, allowed: str
) -> None:
    monkeypatch.delenv("RECON_WORKER_WEBHOOK_LOOPBACK", raising=False)
    monkeypatch.delenv("PAYMENTS_API_AUTH", raising=False)
    if auth is not None:
        monkeypatch.setenv("PAYMENTS_API_AUTH", auth)
    worker = plan(LocalSettings()).services[0].spec
    assert worker.environ["RECON_WORKER_WEBHOOK_LOOPBACK"] == allowed


def test_the_announced_variables_select_the_data_folder_too(tmp_path: Path) -> None:
    """In a terminal without it, `make reset` would delete another system's data."""
    folder = tmp_path / "my data"
    settings = LocalSettings.from_environ({"PG_PORT": "4432", "DATA_DIR": str(folder)})
    (line,) = [each for each in announcement(settings).splitlines() if "export" in each]
    variables = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    assert LocalSettings.from_environ(variables) == settings
    assert "DATA_DIR" not in announcement(LocalSettings())
