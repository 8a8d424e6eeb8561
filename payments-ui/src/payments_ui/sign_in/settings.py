"""Settings of sign-in: the method, the length of a session, and the operators."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from payments_core.config import is_loopback
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_core.http.client_address import ForwardedHeader, NetworksText
from payments_core.http.hosts import HostNames

PASSWORD_MIN_CHARS = 16  # For an unhashed password, which is generated and kept in a secret store.
# The weakest Argon2id that OWASP's Password Storage Cheat Sheet accepts: 7 MiB with 5 passes, or
# more memory with fewer passes.
HASH_MEMORY_KIB_MIN = 7_168
HASH_COST_MIN = HASH_MEMORY_KIB_MIN * 5  # Memory times passes.
# Asymmetric algorithms only: a signature made with our own client secret proves nothing.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) | frozenset(
    {"ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
)


def words(text: str) -> tuple[str, ...]:
    """Return the non-empty values of a comma-separated list."""
    return tuple(word for each in text.split(",") if (word := each.strip()))


def _origin(value: str | None) -> str | None:
    """Return scheme and host. Raises ValueError for a URL with a path."""
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
        raise ValueError("must be an http:// or https:// address without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _issuer(value: str | None) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or plain) or not parts.hostname or parts.query:
        raise ValueError("must be an https:// address: it decides who signs in")
    return value  # Unchanged: the ID token's `iss` must equal it.


def _algorithms(value: str) -> str:
    unknown = set(words(value)) - ALGORITHMS
    if unknown or not words(value):
        raise ValueError(f"must be a list of {', '.join(sorted(ALGORITHMS))}")
    return value


def _hash(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    try:
        hashed = extract_parameters(value.get_secret_value())
    except InvalidHashError:
        raise ValueError("is no Argon2 hash: make one with `payments-ui hash-password`") from None
    if (
        hashed.type is not Type.ID
        or hashed.memory_cost < HASH_MEMORY_KIB_MIN
        or hashed.memory_cost * hashed.time_cost < HASH_COST_MIN
    ):
        raise ValueError("is too weak a hash: make one with `payments-ui hash-password`")
    return value


def _password(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    if len(value.get_secret_value()) < PASSWORD_MIN_CHARS:
        raise ValueError(f"must have at least {PASSWORD_MIN_CHARS} characters")
    return value


def _secret(value: SecretStr | None) -> SecretStr | None:
    return value if value is not None and value.get_secret_value() else None


class SignInSettings(BaseSettings):
    """How people sign in; `Settings` adds the rest."""

    sign_in: Annotated[
        Literal["off", "password", "oidc"],
        Field(
            description="who may use the page: `off` everyone on this machine, `password` one "
            "user, `oidc` the users of an OpenID Connect provider"
        ),
    ] = "off"
    allow_unauthenticated_remote: Annotated[
        bool,
        Field(
            description="allow `off` on an address that other machines can reach: every visitor "
            "may create payments and operate"
        ),
    ] = False
    allowed_hosts: Annotated[
        HostNames,
        Field(
            description="with `off`: host names, comma-separated, that requests may name besides "
            "this machine's; .example.com matches every subdomain"
        ),
    ] = ""
    session_idle_minutes: Annotated[
        int, Field(ge=1, le=1440, description="minutes without a click after which a session ends")
    ] = 60
    session_hours: Annotated[
        int, Field(ge=1, le=168, description="hours after which a session ends in any case")
    ] = 12
    trusted_proxies: Annotated[
        NetworksText,
        Field(
            description="addresses or networks, comma-separated, of the proxies in front of the "
            "page whose header names the client: password attempts are limited by its address"
        ),
    ] = ""
    forwarded_header: Annotated[
        ForwardedHeader, Field(description="the header in which proxies name the client")
    ] = "x-forwarded-for"
    password_user: Annotated[
        str,
        Field(min_length=1, max_length=OPERATOR_MAX_CHARS, description="name of the one user"),
    ] = "operator"  # noqa: S105 - a name
    password_hash: Annotated[
        SecretStr | None,
        AfterValidator(_hash),
        Field(description="hash of the user's password, from `payments-ui hash-password`"),
    ] = None
    password: Annotated[
        SecretStr | None,
        AfterValidator(_password),
        Field(
            description="in place of the hash: a generated password of at least "
            f"{PASSWORD_MIN_CHARS} characters"
        ),
    ] = None
    public_url: Annotated[
        str | None,
        AfterValidator(_origin),
        Field(
            description="the page's address in browsers, such as https://payments.example.com. "
            "With https://, cookies are Secure and browsers stay on https"
        ),
    ] = None
    oidc_name: Annotated[
        str,
        Field(min_length=1, max_length=60, description="the provider's name on the sign-in button"),
    ] = "single sign-on"
    oidc_issuer: Annotated[
        str | None,
        AfterValidator(_issuer),
        Field(
            description="the provider's issuer, under which it serves "
            "`/.well-known/openid-configuration`"
        ),
    ] = None
    oidc_client_id: Annotated[
        str | None, Field(description="client id of the page at the provider")
    ] = None
    oidc_client_secret: Annotated[
        SecretStr | None,
        AfterValidator(_secret),
        Field(description="client secret. Absent: a public client, protected by PKCE alone"),
    ] = None
    oidc_scopes: Annotated[
        str, Field(pattern=r"\bopenid\b", description="scopes to request, `openid` among them")
    ] = "openid profile email"
    oidc_algorithms: Annotated[
        str,
        AfterValidator(_algorithms),
        Field(description="accepted signature algorithms of ID tokens, comma-separated"),
    ] = "RS256,PS256,ES256"
    oidc_name_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="claim that names the person in the audit record (`sub` if it is missing): "
            "choose one that users cannot change themselves",
        ),
    ] = "preferred_username"
    oidc_role_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="claim with the person's groups or roles; dots lead into objects, as in "
            "`realm_access.roles`",
        ),
    ] = "groups"
    oidc_operators: Annotated[
        str, Field(description="groups or roles that make an operator, comma-separated")
    ] = ""
    oidc_viewers: Annotated[
        str,
        Field(
            description="groups or roles that make a viewer, comma-separated; `*`: every user of "
            "the provider"
        ),
    ] = ""
    oidc_clock_skew_seconds: Annotated[
        int, Field(ge=0, le=300, description="tolerated difference of the provider's clock")
    ] = 60
    oidc_timeout_seconds: Annotated[
        float, Field(gt=0, le=30, description="longest wait for the provider in each step")
    ] = 5.0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Check settings against each other; the message names the variable to set."""
        if self.sign_in == "password" and not (self.password_hash or self.password):
            raise ValueError(
                "PAYMENTS_UI_SIGN_IN: password needs PAYMENTS_UI_PASSWORD_HASH: "
                "`payments-ui hash-password` makes it"
            )
        if self.sign_in == "oidc":
            for name in ("oidc_issuer", "oidc_client_id", "public_url"):
                if not getattr(self, name):
                    raise ValueError(f"PAYMENTS_UI_SIGN_IN: oidc needs PAYMENTS_UI_{name.upper()}")
            if not words(self.oidc_operators) and not words(self.oidc_viewers):
                raise ValueError(
                    "PAYMENTS_UI_SIGN_IN: oidc needs PAYMENTS_UI_OIDC_OPERATORS or "
                    "PAYMENTS_UI_OIDC_VIEWERS: without them no user can sign in"
                )
        return self

    @property
    def https(self) -> bool:
        """Whether browsers reach the page over https."""
        return (self.public_url or "").startswith("https://")
