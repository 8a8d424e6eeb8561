"""A page that asks who is there, and browsers before it."""

from collections.abc import Callable, Iterator

import pytest
from quart import Quart

from testkit.sign_in.oidc_provider import OidcProvider, running_provider
from testkit.sign_in.page_browser import Browser, oidc_app, password_app


@pytest.fixture
def browser_of() -> Callable[[Quart], Browser]:
    """A browser with no cookies yet."""
    return lambda app: Browser(app.test_client())


@pytest.fixture
def browser(browser_of: Callable[[Quart], Browser]) -> Browser:
    """Before a page that asks for a password."""
    return browser_of(password_app())


@pytest.fixture(scope="module")
def one_provider() -> Iterator[OidcProvider]:
    """Making its key takes a moment: one for each module."""
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(one_provider: OidcProvider) -> Iterator[OidcProvider]:
    """It does nothing wrong until it is told to."""
    yield one_provider
    one_provider.fault = ""
    one_provider.groups_by_user_info = False


@pytest.fixture
def at_provider(provider: OidcProvider, browser_of: Callable[[Quart], Browser]) -> Browser:
    """A browser before a page that asks the provider."""
    return browser_of(oidc_app(provider))
