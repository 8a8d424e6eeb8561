"""A misspelt setting is named at start."""

import logging

import pytest
from pydantic_settings import BaseSettings, SettingsConfigDict

from payments_core.config import warn_of_unknown_variables


class Some(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PAYMENTS_API_", extra="ignore")

    pool_size: int = 10


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the variables that the warnings of one start name."""
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables(Some())
    assert all(record.message == "unknown_settings_ignored" for record in caplog.records)
    return [record.__dict__["variables"] for record in caplog.records]


def test_all_misspelt_settings_are_in_one_warning_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYMENTS_API_POOLSIZE", "20")
    monkeypatch.setenv("PAYMENTS_API_SERVER", "uvicorn")
    assert warned(caplog) == [
        "PAYMENTS_API_POOLSIZE (did you mean PAYMENTS_API_POOL_SIZE?), PAYMENTS_API_SERVER"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "PAYMENTS_API_POOL_SIZE",
        "payments_api_pool_size",
        "PAYMENTS_API_KEY",
        "PAYMENTS_API_SERVICE_HOST",
        "PAYMENTS_API_PORT_3001_TCP_ADDR",
        "PAYMENTS_UI_API_KEY",
    ],
)
def test_settings_and_variables_of_others_cause_no_warning(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "20")
    assert warned(caplog) == []
