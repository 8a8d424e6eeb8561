"""A page that requires sign-in, and browsers for it."""

from collections.abc import Callable, Iterator

import pytest
from quart import Quart

from testkit.sign_in.oidc_provider import OidcProvider, running_provider
from testkit.sign_in.page_browser import Browser, oidc_app, password_app


@pytest.fixture(autouse=True)
def no_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default no API answers, also while a system runs on this machine's usual ports."""
    monkeypatch.setenv("PAYMENTS_UI_API_URL", "http://127.0.0.1:1")


@pytest.fixture
def browser_of() -> Callable[[Quart], Browser]:
    """Return a browser without cookies."""
    return lambda app: Browser(app.test_client())


@pytest.fixture
def browser(browser_of: Callable[[Quart], Browser]) -> Browser:
    """Return a browser for a page with a password."""
    return browser_of(password_app())


@pytest.fixture(scope="module")
def one_provider() -> Iterator[OidcProvider]:
    """Run one provider for each module, because creating its key takes a moment."""
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(one_provider: OidcProvider) -> Iterator[OidcProvider]:
    """Return the provider, without a fault at first."""
    yield one_provider
    one_provider.fault = ""
    one_provider.groups_by_user_info = False


@pytest.fixture
def at_provider(provider: OidcProvider, browser_of: Callable[[Quart], Browser]) -> Browser:
    """Return a browser for a page that uses the provider."""
    return browser_of(oidc_app(provider))
