"""The settings of signing in: which way, for how long, and who is an operator."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from payments_core.http.client_address import ForwardedHeader, is_loopback, networks_of

PASSWORD_MIN_CHARS = 16  # Of one that is not hashed: made by a machine, kept by a secret store.
# Signed with a private key of the provider's: what our own client secret signs proves nothing.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) | frozenset(
    {"ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
)


def words(text: str) -> tuple[str, ...]:
    """The values of a comma-separated list, without those that are empty."""
    return tuple(word for each in text.split(",") if (word := each.strip()))


def _networks(value: str) -> str:
    networks_of(value)
    return value


def _origin(value: str | None) -> str | None:
    """An address of ours that browsers use; without a path, since the page has none."""
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
        raise ValueError("must be an https:// address: what comes from there says who signs in")
    return value  # As it is: the ID token's `iss` must be the same to the letter.


def _algorithms(value: str) -> str:
    unknown = set(words(value)) - ALGORITHMS
    if unknown or not words(value):
        raise ValueError(f"must be some of {', '.join(sorted(ALGORITHMS))}")
    return value


def _hash(value: SecretStr | None) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    try:
        extract_parameters(value.get_secret_value())
    except InvalidHashError:
        raise ValueError("is no Argon2 hash: make one with `payments-ui hash-password`") from None
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
    """PAYMENTS_UI_SIGN_IN and what belongs to it; `Settings` adds the rest."""

    sign_in: Annotated[
        Literal["off", "password", "oidc"],
        Field(
            description="who may use the page: `off` everybody (on this machine's own address "
            "only), `password` one user, `oidc` those whom an OpenID Connect provider vouches for"
        ),
    ] = "off"
    sign_in_off_beyond_loopback: Annotated[
        bool,
        Field(
            description="with `off`, listen on other addresses than this machine's own all the "
            "same: whoever reaches them may do everything"
        ),
    ] = False
    session_idle_minutes: Annotated[
        int, Field(ge=1, le=1440, description="signed out after so long without a click")
    ] = 60
    session_hours: Annotated[
        int, Field(ge=1, le=168, description="signed out after so long, whatever was clicked")
    ] = 12
    trusted_proxies: Annotated[
        str,
        AfterValidator(_networks),
        Field(
            description="addresses or networks, comma-separated, of the proxies in front of the "
            "page that tell whom they were asked by: each address has its own tries at a password"
        ),
    ] = ""
    forwarded_header: Annotated[
        ForwardedHeader, Field(description="the header in which they tell it")
    ] = "x-forwarded-for"
    password_user: Annotated[
        str, Field(min_length=1, max_length=200, description="the one user's name")
    ] = "operator"  # noqa: S105 - a name
    password_hash: Annotated[
        SecretStr | None,
        AfterValidator(_hash),
        Field(description="that user's password as `payments-ui hash-password` prints it"),
    ] = None
    password: Annotated[
        SecretStr | None,
        AfterValidator(_password),
        Field(
            description="instead of the hash: a random password of at least "
            f"{PASSWORD_MIN_CHARS} characters from a secret store"
        ),
    ] = None
    public_url: Annotated[
        str | None,
        AfterValidator(_origin),
        Field(description="where browsers find the page; the provider sends them back there"),
    ] = None
    oidc_name: Annotated[
        str, Field(min_length=1, max_length=60, description="what the sign-in button calls it")
    ] = "single sign-on"
    oidc_issuer: Annotated[
        str | None,
        AfterValidator(_issuer),
        Field(description="the provider: its `/.well-known/openid-configuration` tells the rest"),
    ] = None
    oidc_client_id: Annotated[
        str | None, Field(description="the name by which the provider knows the page")
    ] = None
    oidc_client_secret: Annotated[
        SecretStr | None,
        AfterValidator(_secret),
        Field(description="proves it to the provider. Absent: a public client, by PKCE alone"),
    ] = None
    oidc_scopes: Annotated[
        str, Field(pattern=r"\bopenid\b", description="what is asked for, `openid` among it")
    ] = "openid profile email"
    oidc_algorithms: Annotated[
        str,
        AfterValidator(_algorithms),
        Field(description="signatures of ID tokens that are taken, comma-separated"),
    ] = "RS256,PS256,ES256"
    oidc_name_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="names the person in the audit record (`sub` where it is missing): choose "
            "one that people cannot change by themselves",
        ),
    ] = "preferred_username"
    oidc_role_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="holds a person's groups or roles; dots lead into objects, as in "
            "`realm_access.roles`",
        ),
    ] = "groups"
    oidc_operators: Annotated[
        str, Field(description="its values that make an operator, comma-separated")
    ] = ""
    oidc_viewers: Annotated[
        str,
        Field(
            description="its values that make a viewer, comma-separated; `*`: everybody whom the "
            "provider lets through"
        ),
    ] = ""
    oidc_clock_skew_seconds: Annotated[
        int, Field(ge=0, le=300, description="how far the provider's clock may be from ours")
    ] = 60
    oidc_timeout_seconds: Annotated[
        float, Field(gt=0, le=30, description="longest wait for the provider at each step")
    ] = 5.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """What one setting asks of the others; the message names the variable to set."""
        if self.sign_in == "password" and not (self.password_hash or self.password):
            raise ValueError(
                "PAYMENTS_UI_SIGN_IN: password asks for PAYMENTS_UI_PASSWORD_HASH: "
                "`payments-ui hash-password` makes it"
            )
        if self.sign_in == "oidc":
            for name in ("oidc_issuer", "oidc_client_id", "public_url"):
                if not getattr(self, name):
                    raise ValueError(
                        f"PAYMENTS_UI_SIGN_IN: oidc asks for PAYMENTS_UI_{name.upper()}"
                    )
            if not words(self.oidc_operators) and not words(self.oidc_viewers):
                raise ValueError(
                    "PAYMENTS_UI_SIGN_IN: oidc asks for PAYMENTS_UI_OIDC_OPERATORS or "
                    "PAYMENTS_UI_OIDC_VIEWERS: without them nobody can sign in"
                )
        return self
