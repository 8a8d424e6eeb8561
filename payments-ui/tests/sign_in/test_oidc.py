"""Sign-in by a provider accepts only the person that a valid answer names."""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from quart import Quart

from testkit.sign_in.oidc_provider import SLOW_SECONDS, OidcProvider, new_key, running_provider
from testkit.sign_in.page_browser import Browser, oidc_app


async def page_of(browser: Browser) -> str:
    """Return the name on the page; "" if no user is signed in."""
    answer = await browser.get("/sign-in")
    if answer.status_code == 200:
        return ""
    text = await (await browser.get("/nowhere")).get_data(as_text=True)
    return text.partition('class="who-name">')[2].partition("<")[0]


async def test_an_operator_signs_in_and_returns_to_the_requested_page(at_provider: Browser) -> None:
    answer = await at_provider.sign_in_as("ada", "/operate?cursor=x")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/operate?cursor=x")
    assert await page_of(at_provider) == "ada@example.com"
    assert (await at_provider.get("/operate/replay")).status_code == 200


async def test_the_authorization_request_is_bound_to_this_sign_in(
    at_provider: Browser, provider: OidcProvider
) -> None:
    await at_provider.sign_in_as("ada")
    await at_provider.sign_in_as("ada")
    first, second = provider.asked[-2:]
    assert first["redirect_uri"] == "http://localhost/sign-in/callback"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 20
        assert first[name] != second[name]


async def test_a_viewer_sees_but_cannot_act(at_provider: Browser) -> None:
    await at_provider.sign_in_as("grace")
    assert await page_of(at_provider) == "grace@example.com"
    assert (await at_provider.get("/operate/replay")).status_code == 403


async def test_a_viewer_sees_neither_the_error_nor_the_worker_of_a_job(
    provider: OidcProvider, browser_of: Callable[[Quart], Browser]
) -> None:
    at = "2026-11-22T20:00:00.000000Z"
    job: dict[str, Any] = {
        "id": 7,
        "status": "pending",
        "attempts": 1,
        "maxAttempts": 10,
        "paymentId": "p",
    }
    job |= {"lockedAt": at, "runAt": at, "createdAt": at, "updatedAt": at}
    job |= {"lastError": "relation secret_plan", "lockedBy": "worker-of-host-7"}
    payment: dict[str, Any] = {
        "id": "p",
        "accountId": "a",
        "amount": "1.00",
        "currency": "USD",
        "createdAt": at,
    }
    payment |= {"status": "pending", "description": "", "settledAt": None, "job": job}
    payment |= {"discrepancyAmount": None, "idempotencyKey": "k"}
    payment["traceparent"] = f"00-{'a' * 32}-{'b' * 16}-01"
    payment |= {"reference": None, "metadata": {}, "source": "default"}
    payment |= {"updatedAt": at, "reconciliation": None, "ledgerEntries": []}

    depth: dict[str, Any] = {"oldestReadyAgeSeconds": None}
    for status in ("pending", "processing", "failed"):
        depth |= {status: 1, f"{status}Capped": False}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/jobs/groups":
            group = {"error": "secret_plan", "count": 1, "newest": [job]}
            group |= {"firstFailedAt": at, "lastFailedAt": at}
            return httpx2.Response(200, json={"groups": [group], "incomplete": False})
        if request.url.path.startswith("/payments/"):
            return httpx2.Response(200, json=payment)
        if request.url.path == "/jobs/stats":
            return httpx2.Response(200, json=depth)
        return httpx2.Response(503)

    app = oidc_app(provider, transport=httpx2.MockTransport(answer))
    for user, seen in (("grace", False), ("ada", True)):
        browser = browser_of(app)
        await browser.sign_in_as(user)
        for job["status"] in ("pending", "processing", "failed"):
            pages = [await browser.get(path) for path in ("/payments/p", "/operate")]
            text = "".join([await page.get_data(as_text=True) for page in pages])
            assert "a" * 32 in text
            assert ("secret_plan" in text) is seen
            if job["status"] == "processing":
                assert ("worker-of-host-7" in text) is seen


async def test_a_user_without_a_role_is_not_signed_in(at_provider: Browser) -> None:
    answer = await at_provider.sign_in_as("edsger")
    assert answer.status_code == 403
    assert "edsger@example.com" in await answer.get_data(as_text=True)
    assert await page_of(at_provider) == ""


async def test_a_cancelled_sign_in_signs_in_no_user(at_provider: Browser) -> None:
    answer = await at_provider.sign_in_as("nobody")
    assert answer.status_code == 403
    assert "cancelled" in await answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "fault",
    [
        *("wrong issuer", "wrong audience", "two audiences", "wrong nonce", "no nonce"),
        *("expired", "from the future", "alg none", "alg hs256", "unknown key", "forged"),
        *("no id token", "mixed up"),
    ],
)
async def test_an_invalid_id_token_signs_in_no_user(
    at_provider: Browser, provider: OidcProvider, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider.fault = fault
    with caplog.at_level(logging.WARNING):
        answer = await at_provider.sign_in_as("ada")
    assert answer.status_code == 502
    assert "cannot be trusted" in await answer.get_data(as_text=True)
    assert await page_of(at_provider) == ""
    [record] = [each for each in caplog.records if each.message == "sign_in_failed"]
    assert record.why == "id_token_invalid"  # type: ignore[attr-defined]  # Set by `extra`.
    assert record.detail  # type: ignore[attr-defined]  # Set by `extra`.


@pytest.mark.parametrize("fault", ["issuer", "plain keys", "broken"])
async def test_a_provider_with_wrong_metadata_is_not_used(
    at_provider: Browser, provider: OidcProvider, fault: str
) -> None:
    provider.fault = fault
    answer = await at_provider.sign_in_as("ada")
    assert answer.status_code == 503
    provider.fault = ""
    assert (await at_provider.sign_in_as("ada")).status_code == 303


async def test_a_small_clock_difference_is_tolerated(
    at_provider: Browser, provider: OidcProvider, browser_of: Callable[[Quart], Browser]
) -> None:
    provider.fault = "clock behind"
    assert (await at_provider.sign_in_as("ada")).status_code == 303
    strict = browser_of(oidc_app(provider, oidc_clock_skew_seconds=0))
    assert (await strict.sign_in_as("ada")).status_code == 502


async def test_a_providers_new_keys_are_fetched(
    at_provider: Browser, provider: OidcProvider
) -> None:
    await at_provider.sign_in_as("ada")
    reads = provider.key_reads
    provider.key = new_key("second")
    assert (await at_provider.sign_in_as("ada")).status_code == 303
    assert provider.key_reads == reads + 1
    provider.key = new_key("second")  # Another key under the same id.
    assert (await at_provider.sign_in_as("ada")).status_code == 303
    assert (await at_provider.sign_in_as("ada")).status_code == 303
    assert provider.key_reads == reads + 2


async def test_a_slow_provider_times_out(
    provider: OidcProvider, browser_of: Callable[[Quart], Browser]
) -> None:
    provider.fault = "slow"
    browser = browser_of(oidc_app(provider, oidc_timeout_seconds=SLOW_SECONDS / 30))
    answer = await browser.sign_in_as("ada")
    assert answer.status_code == 503
    assert "not answering" in await answer.get_data(as_text=True)


async def test_a_provider_outage_does_not_end_sessions(
    browser_of: Callable[[Quart], Browser],
) -> None:
    with running_provider() as provider:
        app = oidc_app(provider)
        ada, late = browser_of(app), browser_of(oidc_app(provider))
        await ada.sign_in_as("ada")
    assert (await late.sign_in_as("ada")).status_code == 503
    assert await page_of(ada) == "ada@example.com"
    answer = await ada.send("/sign-out", "/operate/replay")
    assert answer.status_code in {200, 303}
    assert await page_of(ada) == ""


async def test_a_providers_error_is_shown_and_its_code_is_logged(
    at_provider: Browser, provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.fault = "client unknown"
    with caplog.at_level(logging.WARNING):
        assert (await at_provider.sign_in_as("ada")).status_code == 502
    [record] = [each for each in caplog.records if each.message == "sign_in_failed"]
    assert record.detail == "invalid_client"  # type: ignore[attr-defined]  # Set by `extra`.


async def test_a_secret_is_posted_if_the_provider_requires_it(
    at_provider: Browser, provider: OidcProvider
) -> None:
    provider.fault = "post only"
    assert (await at_provider.sign_in_as("ada")).status_code == 303


async def test_groups_may_come_from_the_userinfo_endpoint(
    at_provider: Browser, provider: OidcProvider
) -> None:
    provider.groups_by_user_info = True
    assert (await at_provider.sign_in_as("ada")).status_code == 303
    provider.fault = "another's info"
    assert (await at_provider.sign_in_as("grace")).status_code == 502


@pytest.mark.parametrize("query", ["", "code=x", "code=x&state=guessed", "state=&error=x"])
async def test_an_unsolicited_callback_is_rejected(at_provider: Browser, query: str) -> None:
    answer = await at_provider.get(f"/sign-in/callback?{query}")
    assert answer.status_code == 400
    assert "expired" in await answer.get_data(as_text=True)


async def test_another_browsers_callback_is_rejected(
    at_provider: Browser, browser_of: Callable[[Quart], Browser], provider: OidcProvider
) -> None:
    begun = await at_provider.get("/sign-in/start")
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
    stranger = browser_of(oidc_app(provider))
    answer = await stranger.get(f"/sign-in/callback?code=x&state={state}")
    assert answer.status_code == 400


async def test_a_callback_is_accepted_once(at_provider: Browser, provider: OidcProvider) -> None:
    await at_provider.sign_in_as("ada")
    state = provider.asked[-1]["state"]
    assert (await at_provider.get(f"/sign-in/callback?code=x&state={state}")).status_code == 400


async def test_two_windows_may_sign_in_at_once(
    at_provider: Browser, provider: OidcProvider
) -> None:
    await at_provider.get("/sign-in/start")
    assert (await at_provider.sign_in_as("ada")).status_code == 303


async def test_signing_out_ends_the_providers_session_too(
    at_provider: Browser, provider: OidcProvider
) -> None:
    await at_provider.sign_in_as("ada")
    answer = await at_provider.send("/sign-out", "/operate/replay")
    page = await answer.get_data(as_text=True)
    assert f'content="0;url={provider.issuer}/end?id_token_hint={provider.issued[-1]}' in page
    assert "post_logout_redirect_uri=http%3A%2F%2Flocalhost%2Fsigned-out" in page
    assert await page_of(at_provider) == ""


async def test_without_a_providers_sign_out_only_the_local_session_ends(
    at_provider: Browser, provider: OidcProvider
) -> None:
    provider.fault = "no end"
    await at_provider.sign_in_as("ada")
    answer = await at_provider.send("/sign-out", "/operate/replay")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signed-out")
