"""Sign-in by an OpenID Connect provider: the authorization code flow with PKCE, by Authlib.

Authlib speaks the protocol and checks the ID token. Here stands what it leaves to its users:
which provider, which signatures, whose endpoints, how long to wait, and what to make of it all.
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

FRESH_SECONDS = 3600.0  # Then the provider's description and keys are fetched anew.
ENDPOINTS_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ENDPOINTS = (*ENDPOINTS_NEEDED, "userinfo_endpoint", "end_session_endpoint")


class ProviderUnavailable(Exception):
    """The provider does not answer, or answers with what is none."""


class ProviderRefused(Exception):
    """The provider does not go on with this sign-in; its own error code says why."""


class IdTokenInvalid(Exception):
    """What the provider says of the person cannot be trusted; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that a browser is sent to the provider with, and what it must come back with."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class _Client(AsyncOAuth2Mixin, AsyncOpenIDMixin, BaseApp):  # type: ignore[misc]  # Has no types.
    """Authlib's client of one provider, with the provider's own word bounded."""

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
                # Authlib makes a client for each step; reading the authorities' certificates for
                # every one of them would take longer than all the rest.
                "verify": httpx2.create_ssl_context(),
            },
        )
        self._settings = settings
        self._metadata: dict[str, Any] = {}

    async def load_server_metadata(self) -> dict[str, Any]:
        """The provider's description of itself, of which only what is checked here is used."""
        if self._metadata:
            return self._metadata
        issuer = self._settings.oidc_issuer or ""
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        async with self._get_session() as client:
            answer = await client.request("GET", url, withhold_token=True)
            answer.raise_for_status()
            said = answer.json()
        if not isinstance(said, dict) or said.get("issuer") != issuer:
            raise ProviderUnavailable(f"{url} describes another issuer")
        for name in ENDPOINTS:
            if (endpoint := said.get(name)) or name in ENDPOINTS_NEEDED:
                _check_endpoint(name, endpoint)
        # The provider may narrow the signatures that we take, and never widen them.
        taken = words(self._settings.oidc_algorithms)
        offered = said.get("id_token_signing_alg_values_supported") or ["RS256"]
        methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        by_post = "client_secret_basic" not in methods and "client_secret_post" in methods
        metadata = {
            "issuer": issuer,
            **{name: said[name] for name in ENDPOINTS if said.get(name)},
            # Without any in common ours alone: an empty list would mean Authlib's own default.
            "id_token_signing_alg_values_supported": [a for a in taken if a in offered] or taken,
            "names_itself": bool(said.get("authorization_response_iss_parameter_supported")),
        }
        if self.client_secret and by_post:
            metadata["token_endpoint_auth_method"] = "client_secret_post"  # noqa: S105  # nosec B105
        # Authlib keeps the provider's keys in there too.
        self._metadata = self.server_metadata = metadata
        return metadata


def _check_endpoint(name: str, url: object) -> None:
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    ):
        raise ProviderUnavailable(f"its {name} is no https:// address")


class Provider:
    """The one that the settings name."""

    def __init__(self, settings: SignInSettings) -> None:
        """Nothing is asked of it before the first sign-in: it may be down when we start."""
        self._settings = settings
        self._client: _Client | None = None
        self._made_at = 0.0

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[_Client]:
        """The client, for as long as one step may take; errors come out as ours."""
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
            raise ProviderUnavailable("its answer is none that OpenID Connect knows") from error

    async def begin(self, redirect_uri: str) -> Begun:
        """Where to send the browser. Raises ProviderUnavailable."""
        async with self._asked() as client:
            made = await client.create_authorization_url(redirect_uri)
        return Begun(made["url"], made["state"], made["nonce"], made["code_verifier"])

    async def check_sender(self, issuer: str | None) -> None:
        """Whether the answer that a browser brings is this provider's (RFC 9207).

        Raises IdTokenInvalid, ProviderUnavailable.
        """
        async with self._asked() as client:
            metadata = await client.load_server_metadata()
        if (issuer or metadata["names_itself"]) and issuer != self._settings.oidc_issuer:
            raise IdTokenInvalid("the answer names another provider")

    async def finish(
        self, code: str, code_verifier: str, nonce: str, redirect_uri: str
    ) -> tuple[Mapping[str, Any], str]:
        """The person's claims, verified, and the ID token they stand in.

        Raises ProviderUnavailable, ProviderRefused, IdTokenInvalid.
        """
        async with self._asked() as client:
            token = await client.fetch_access_token(
                redirect_uri, code=code, code_verifier=code_verifier
            )
        if not isinstance(token.get("id_token"), str):
            raise IdTokenInvalid("there is none in the provider's answer")
        async with self._asked() as client:
            try:
                claims = await self._verified(client, token, nonce)
            except BadSignatureError:
                # Perhaps the provider has changed its keys under the same name, or names none.
                await client.fetch_jwk_set(force=True)
                claims = await self._verified(client, token, nonce)
        async with self._asked() as client:
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
        """The claims, and where the role is not among them, those of the userinfo endpoint."""
        metadata = await client.load_server_metadata()
        if claim_values(claims, self._settings.oidc_role_claim) or (
            "userinfo_endpoint" not in metadata
        ):
            return claims
        told: Mapping[str, Any] = await client.userinfo(token=token)
        if told.get("sub") != claims["sub"]:
            raise IdTokenInvalid("the userinfo endpoint tells of somebody else")
        return {**told, **claims}

    async def sign_out_url(self, id_token: str | None, back_to: str) -> str | None:
        """Where the provider ends its own session too; None where it offers no such place.

        Raises ProviderUnavailable.
        """
        async with self._asked() as client:
            metadata = await client.load_server_metadata()
            if "end_session_endpoint" not in metadata:
                return None
            made = await client.create_logout_url(
                back_to, id_token, client_id=self._settings.oidc_client_id
            )
            return str(made["url"])


def claim_values(claims: Mapping[str, Any], name: str) -> list[str]:
    """The claim's texts: its own, or those in its list. Dots lead into objects, unless the whole
    is a claim's name (as in `https://example.com/roles`)."""
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
