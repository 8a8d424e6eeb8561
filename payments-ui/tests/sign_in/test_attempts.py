"""Attempts to sign in are limited, for each address and in all."""

from collections.abc import Callable

import pytest
from quart import Quart

from payments_ui.sign_in import throttle
from payments_ui.sign_in.throttle import Throttle
from testkit.sign_in.page_browser import Browser, password_app


async def test_attempts_are_limited_even_for_the_right_password(browser: Browser) -> None:
    for _ in range(throttle.PER_ADDRESS_ATTEMPTS):
        assert (await browser.sign_in("wrong wrong wrong")).status_code == 403
    refused = await browser.sign_in()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= throttle.PER_ADDRESS_SECONDS + 1


def test_one_address_cannot_exhaust_the_attempts_of_all() -> None:
    tries = Throttle()
    for _ in range(throttle.ALL_ATTEMPTS * 2):
        tries.take("10.0.0.1")
    assert tries.take("10.0.0.2") == 0
    used = sum(
        tries.take(f"10.1.{n // 250}.{n % 250}") == 0 for n in range(throttle.ALL_ATTEMPTS * 2)
    )
    assert used <= throttle.ALL_ATTEMPTS + 2


def test_addresses_are_forgotten_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle, "ADDRESSES_MAX", 10)
    tries = Throttle()
    for n in range(50):
        tries.take(f"10.0.0.{n}")
    assert len(tries._address_store._backend.get_client()) == 10


def test_an_address_waits_between_attempts_until_the_right_password() -> None:
    limit = Throttle()
    address = "10.0.0.1"
    attempts = [limit.take(address) for _ in range(throttle.PER_ADDRESS_ATTEMPTS + 1)]
    assert attempts[:-1] == [0.0] * throttle.PER_ADDRESS_ATTEMPTS
    assert 0 < attempts[-1] <= throttle.PER_ADDRESS_SECONDS
    limit.reset(address)
    again = [limit.take(address) for _ in range(throttle.PER_ADDRESS_ATTEMPTS)]
    assert again == [0.0] * throttle.PER_ADDRESS_ATTEMPTS


async def test_each_address_behind_a_proxy_has_its_own_attempts(
    browser_of: Callable[[Quart], Browser],
) -> None:
    browser = browser_of(password_app(trusted_proxies="127.0.0.0/8"))
    for _ in range(throttle.PER_ADDRESS_ATTEMPTS + 1):
        refused = await browser.sign_in("wrong wrong wrong", seen="10.0.0.1")
    assert refused.status_code == 429
    assert (await browser.sign_in(seen="10.0.0.2")).status_code == 303
