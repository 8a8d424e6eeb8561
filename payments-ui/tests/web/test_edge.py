"""The page's outermost layer: Host headers, and spellings of paths."""

import pytest

from payments_core.server.options import Lifecycle
from payments_ui.app import create_app
from payments_ui.settings import Settings

PATHS = ["/", "/operate/", "/payments", "/live", "/sign-in", "/metrics", "/static/page.css"]


@pytest.mark.parametrize("path", PATHS)
async def test_without_sign_in_a_rebound_name_is_rejected(path: str) -> None:
    client = create_app(Settings(), Lifecycle()).test_client()
    answer = await client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert answer.content_type == "application/problem+json"


async def test_a_rebound_name_cannot_pay() -> None:
    client = create_app(Settings(), Lifecycle()).test_client()
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    answer = await client.post("/payments", form={"account_id": "a"}, headers=headers)
    assert answer.status_code == 421


@pytest.mark.parametrize(
    ("host", "status"),
    [("page.example:3000", 200), ("10.0.0.1", 200), ("localhost", 200), ("evil.example", 421)],
)
async def test_remote_use_without_sign_in_is_for_listed_names_and_addresses(
    host: str, status: int
) -> None:
    settings = Settings(allow_unauthenticated_remote=True, allowed_hosts="page.example")
    client = create_app(settings, Lifecycle()).test_client()
    assert (await client.get("/health", headers={"Host": host})).status_code == status


@pytest.mark.parametrize("path", ["//operate", "/operate//", "//evil.example/", "/payments//x"])
async def test_an_empty_segment_is_never_redirected(path: str) -> None:
    answer = await create_app(Settings(), Lifecycle()).test_client().get(path)
    assert answer.status_code == 404
    assert "Location" not in answer.headers


async def test_a_trailing_slash_makes_no_difference() -> None:
    client = create_app(Settings(), Lifecycle()).test_client()
    for path in ("/operate", "/operate/", "/health/"):
        answer = await client.get(path)
        assert answer.status_code not in (301, 302, 307, 308, 404), path
