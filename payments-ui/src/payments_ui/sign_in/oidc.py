"""Sign-in by an OpenID Connect provider: the authorization code flow with PKCE, by Authlib.

Authlib implements the protocol and checks the ID token. This module decides the points that Authlib
leaves open: the provider, the signature algorithms, the endpoints, the timeouts and the errors.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import BaseApp, OAuthError
from authlib.integrations.base_client.async_app import AsyncOAuth2Mixin
from authlib.integrations.base_client.async_openid import AsyncOpenIDMixin
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import BadSignatureError, JoseError

from payments_core.config import is_loopback
from payments_ui.sign_in.settings import SignInSettings, words

FRESH_SECONDS = 3600.0  # Then the provider's metadata and keys are fetched again.
ENDPOINTS_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ENDPOINTS = (*ENDPOINTS_NEEDED, "userinfo_endpoint", "end_session_endpoint")


class ProviderUnavailable(Exception):
    """The provider does not answer, or its answer is invalid."""


class ProviderRefused(Exception):
    """The provider rejects this sign-in; the text is its error code."""


class IdTokenInvalid(Exception):
    """The ID token or its sender is invalid; the text says why."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in at the provider: its URL, and the values that the answer must match."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class _Client(AsyncOAuth2Mixin, AsyncOpenIDMixin, BaseApp):  # type: ignore[misc]  # Has no types.
    """Authlib's client of one provider, restricted to metadata that has been checked."""

    client_cls = AsyncOAuth2Client

    def __init__(self, settings: SignInSettings) -> None:
        secret = settings.oidc_client_secret
        super().__init__(
            framework=None,
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            client_kwargs={
                "scope": settings.oidc_scopes,
                "code_challenge_method": "S256",
                "timeout": settings.oidc_timeout_seconds,
                # Authlib makes a client for each step; reading the certificates of all
                # authorities each time would dominate the sign-in.
                "verify": httpx2.create_ssl_context(),
            },
        )
        self._settings = settings
        self._metadata: dict[str, Any] = {}

    async def load_server_metadata(self) -> dict[str, Any]:
        """Fetch the provider's metadata, and return its checked fields."""
        if self._metadata:
            return self._metadata
        issuer = self._settings.oidc_issuer or ""
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        async with self._get_session() as client:
            answer = await client.request("GET", url, withhold_token=True)
            answer.raise_for_status()
            published = answer.json()
        if not isinstance(published, dict) or published.get("issuer") != issuer:
            raise ProviderUnavailable(f"{url} names another issuer")
        for name in ENDPOINTS:
            if (endpoint := published.get(name)) or name in ENDPOINTS_NEEDED:
                _check_endpoint(name, endpoint)
        # The provider may narrow the accepted algorithms, and never widen them.
        accepted = words(self._settings.oidc_algorithms)
        offered = published.get("id_token_signing_alg_values_supported") or ["RS256"]
        methods = published.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        by_post = "client_secret_basic" not in methods and "client_secret_post" in methods
        metadata = {
            "issuer": issuer,
            **{name: published[name] for name in ENDPOINTS if published.get(name)},
            # Without a common algorithm, use ours: an empty list would mean Authlib's default.
            "id_token_signing_alg_values_supported": [a for a in accepted if a in offered]
            or accepted,
            "names_itself": bool(published.get("authorization_response_iss_parameter_supported")),
        }
        if self.client_secret and by_post:
            metadata["token_endpoint_auth_method"] = "client_secret_post"  # noqa: S105  # nosec B105
        # Authlib keeps the provider's keys in it too.
        self._metadata = self.server_metadata = metadata
        return metadata


def _check_endpoint(name: str, url: object) -> None:
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    ):
        raise ProviderUnavailable(f"its {name} is no https:// address")


class Provider:
    """The provider of the settings."""

    def __init__(self, settings: SignInSettings) -> None:
        """Connect at the first sign-in: the provider may be down when the page starts."""
        self._settings = settings
        self._client: _Client | None = None
        self._made_at = 0.0

    @asynccontextmanager
    async def _requests(self) -> AsyncIterator[_Client]:
        """Yield a client for one step, bounded by the timeout; translate its errors."""
        if self._client is None or monotonic() - self._made_at > FRESH_SECONDS:
            self._client, self._made_at = _Client(self._settings), monotonic()
        try:
            async with asyncio.timeout(self._settings.oidc_timeout_seconds):
                yield self._client
        except OAuthError as error:
            raise ProviderRefused(str(error.error)[:100]) from error
        except (JoseError, KeyError) as error:
            raise IdTokenInvalid(str(error)[:200] or type(error).__name__) from error
        except TimeoutError as error:
            raise ProviderUnavailable("it did not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProviderUnavailable(type(error).__name__) from error
        except (ValueError, TypeError) as error:
            raise ProviderUnavailable("its answer is not valid in OpenID Connect") from error

    async def begin(self, redirect_uri: str) -> Begun:
        """Begin a sign-in. Raises ProviderUnavailable."""
        async with self._requests() as client:
            request = await client.create_authorization_url(redirect_uri)
        return Begun(request["url"], request["state"], request["nonce"], request["code_verifier"])

    async def check_sender(self, issuer: str | None) -> None:
        """Check that this provider sent the browser's answer (RFC 9207).

        Raises IdTokenInvalid, ProviderUnavailable.
        """
        async with self._requests() as client:
            metadata = await client.load_server_metadata()
        if (issuer or metadata["names_itself"]) and issuer != self._settings.oidc_issuer:
            raise IdTokenInvalid("the answer names another provider")

    async def finish(
        self, code: str, code_verifier: str, nonce: str, redirect_uri: str
    ) -> tuple[Mapping[str, Any], str]:
        """Return the verified claims and the ID token that holds them.

        Raises ProviderUnavailable, ProviderRefused, IdTokenInvalid.
        """
        async with self._requests() as client:
            token = await client.fetch_access_token(
                redirect_uri, code=code, code_verifier=code_verifier
            )
        if not isinstance(token.get("id_token"), str):
            raise IdTokenInvalid("the provider's answer has no ID token")
        async with self._requests() as client:
            try:
                claims = await self._verified(client, token, nonce)
            except BadSignatureError:
                # The provider may have replaced its keys under the same id, or publish none.
                await client.fetch_jwk_set(force=True)
                claims = await self._verified(client, token, nonce)
        async with self._requests() as client:
            return await self._with_user_info(client, token, claims), token["id_token"]

    async def _verified(
        self, client: _Client, token: Mapping[str, Any], nonce: str
    ) -> Mapping[str, Any]:
        options = {
            "iss": {"essential": True, "value": self._settings.oidc_issuer},
            "aud": {"essential": True, "value": self._settings.oidc_client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        claims: Mapping[str, Any] = await client.parse_id_token(
            token, nonce, options, leeway=self._settings.oidc_clock_skew_seconds
        )
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise IdTokenInvalid("its subject is empty")
        return claims

    async def _with_user_info(
        self, client: _Client, token: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the claims; add those of the userinfo endpoint if the role is missing."""
        metadata = await client.load_server_metadata()
        if claim_values(claims, self._settings.oidc_role_claim) or (
            "userinfo_endpoint" not in metadata
        ):
            return claims
        more: Mapping[str, Any] = await client.userinfo(token=token)
        if more.get("sub") != claims["sub"]:
            raise IdTokenInvalid("the userinfo endpoint describes another person")
        return {**more, **claims}

    async def sign_out_url(self, id_token: str | None, back_to: str) -> str | None:
        """Return the URL that ends the provider's own session; None without such an endpoint.

        Raises ProviderUnavailable.
        """
        async with self._requests() as client:
            metadata = await client.load_server_metadata()
            if "end_session_endpoint" not in metadata:
                return None
            logout = await client.create_logout_url(
                back_to, id_token, client_id=self._settings.oidc_client_id
            )
            return str(logout["url"])


def claim_values(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return the claim's texts: one, or a list of them.

    Dots lead into objects, unless the whole name is a claim (as in `https://example.com/roles`).
    """
    value: Any = claims.get(name)
    if value is None and name not in claims:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return []
