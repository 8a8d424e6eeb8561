"""The page's app, and a browser with cookies, for tests of sign-in."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from argon2 import PasswordHasher
from quart import Quart, Response
from quart.typing import TestClientProtocol

from payments_ui.app import create_app
from payments_ui.settings import Settings
from testkit.sign_in.oidc_provider import OidcProvider, provider_settings

SECRET = "k" * 20
PUBLIC_URL = "http://localhost"  # The host of Quart's test client.
ORIGIN = {"Origin": PUBLIC_URL}
PASSWORD = "correct horse battery staple"
# The fastest hash that the page accepts.
HASH = PasswordHasher(time_cost=1, memory_cost=35_840, parallelism=1).hash(PASSWORD)


def app_with(*, transport: httpx2.AsyncBaseTransport | None = None, **settings: Any) -> Quart:
    """Return an app whose API is `transport`; by default there is no API."""
    given = {"api_url": "http://127.0.0.1:9", "secret_key": SECRET, **settings}
    return create_app(Settings(**given), transport=transport)


def password_app(**settings: Any) -> Quart:
    """Return an app for one user with a password."""
    given = {"sign_in": "password", "password_hash": HASH, "password_user": "ada", **settings}
    return app_with(**given)


@dataclass
class Browser:
    """A client that keeps cookies, as browsers do, and fills in the page's forms."""

    client: TestClientProtocol

    async def get(self, path: str, **headers: str) -> Response:
        """Request a page."""
        return await self.client.get(path, headers=headers)

    async def send(self, path: str, page: str, **form: str) -> Response:
        """Send the form on the page at `page`."""
        drawn = await (await self.client.get(page)).get_data(as_text=True)
        token = re.search(r'name="csrf" value="([^"]+)"', drawn)
        assert token, f"{page} has no form"
        headers = {**ORIGIN, "X-Forwarded-For": form.pop("seen", "")}
        scope = {
            "client": ("127.0.0.1", 50_000)
        }  # The nearest proxy's address, if there are proxies.
        return await self.client.post(
            path, form={"csrf": token[1], **form}, headers=headers, scope_base=scope
        )

    async def sign_in(self, password: str = PASSWORD, user: str = "ada", **form: str) -> Response:
        """Sign in by password."""
        return await self.send("/sign-in", "/sign-in", user=user, password=password, **form)

    async def sign_in_as(self, user: str, wanted: str = "/") -> Response:
        """Sign in by the provider, which asks only for the name."""
        begun = await self.client.get("/sign-in/start", query_string={"next": wanted})
        if begun.status_code != 303:
            return begun
        async with httpx2.AsyncClient(verify=False) as http:
            answer = await http.get(begun.headers["Location"] + f"&user={user}")
        back = urlsplit(answer.headers["Location"])
        return await self.client.get(f"{back.path}?{back.query}")


def oidc_app(provider: OidcProvider, **settings: Any) -> Quart:
    """Return an app that uses the provider."""
    given = {
        name.removeprefix("PAYMENTS_UI_").lower(): value
        for name, value in provider_settings(provider, PUBLIC_URL).items()
    }
    return app_with(**{**given, **settings})
