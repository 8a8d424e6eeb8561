"""A small OpenID Connect provider for tests that can misbehave: real HTTP, real RSA keys.

    python -m testkit.sign_in.oidc_provider 9000     for manual sign-in on port 9000
    (UI_PORT is the page's port, 3000 if not set)

It checks what a good provider checks (client, redirect URI, PKCE, single use of a code), so a page
that omits one of them fails against it. `fault` selects its misbehaviour.
"""

import base64
import hashlib
import hmac
import html
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "payments-page", "a secret that both sides know"
SLOW_SECONDS = 3.0
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"preferred_username": "ada@example.com", "groups": ["payments-operators"]},
    "grace": {"preferred_username": "grace@example.com", "groups": ["payments-viewers", "staff"]},
    "edsger": {"preferred_username": "edsger@example.com", "groups": ["staff"]},
}


@dataclass
class OidcProvider:
    """The provider's state and its current fault."""

    port: int = 0
    fault: str = ""  # A fault that `_Handler` and `id_token` know; "" is none.
    key: RSAKey = field(default_factory=lambda: new_key("first"))
    issued: list[str] = field(default_factory=list)  # ID tokens.
    ended: list[dict[str, str]] = field(
        default_factory=list
    )  # Requests to the end-session endpoint.
    asked: list[dict[str, str]] = field(
        default_factory=list
    )  # Requests to the authorization endpoint.
    key_reads: int = 0
    groups_by_user_info: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """Return its address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def description(self) -> dict[str, Any]:
        """Return the answer of discovery."""
        url = self.issuer
        said = {
            "issuer": "https://elsewhere.example" if self.fault == "issuer" else url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": "http://keys.example/keys" if self.fault == "plain keys" else f"{url}/keys",
            "userinfo_endpoint": f"{url}/userinfo",
            "end_session_endpoint": f"{url}/end",
            "authorization_response_iss_parameter_supported": True,
            # More algorithms than a client should accept: it needs its own list.
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }
        if self.fault == "post only":
            said["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        if self.fault == "no end":
            del said["end_session_endpoint"]
        return said

    def id_token(self, grant: dict[str, str]) -> str:
        """Return an ID token, signed unless the fault prevents it."""
        now, fault = int(time.time()), self.fault
        person = PEOPLE[grant["user"]]
        claims = {
            "iss": "https://elsewhere.example" if fault == "wrong issuer" else self.issuer,
            "sub": f"id-of-{grant['user']}",
            "aud": "another-client" if fault == "wrong audience" else CLIENT_ID,
            "iat": now + (120 if fault == "from the future" else 0),
            "exp": now + 300,
            "nonce": "another" if fault == "wrong nonce" else grant["nonce"],
            "preferred_username": person["preferred_username"],
        }
        if fault == "expired":
            claims |= {"iat": now - 900, "exp": now - 120}
        if fault == "clock behind":  # By less than the difference that clients tolerate.
            claims |= {"iat": now - 330, "exp": now - 30}
        if fault == "no nonce":
            del claims["nonce"]
        if fault == "two audiences":
            claims |= {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"}
        if not self.groups_by_user_info:
            claims["groups"] = person["groups"]
        if fault == "alg none":
            head = _part({"alg": "none", "typ": "JWT"})
            return f"{head}.{_part(claims)}."
        if fault == "alg hs256":  # Signed with the public key, which both sides know.
            signed = f"{_part({'alg': 'HS256', 'kid': self.key.kid})}.{_part(claims)}"
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        signing = new_key("stranger") if fault == "unknown key" else self.key
        if fault == "forged":
            signing = new_key(self.key.kid or "")
        return jwt.encode({"alg": "RS256", "kid": signing.kid}, claims, signing)


def new_key(name: str) -> RSAKey:
    """Return a key with that name."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    provider: OidcProvider

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        here = self.provider
        if here.fault == "slow":
            time.sleep(SLOW_SECONDS)
        if here.fault == "broken":
            self._say(500, "text/html", "<h1>Oops</h1>")
        elif address.path == "/.well-known/openid-configuration":
            self._json(here.description())
        elif address.path == "/keys":
            here.key_reads += 1
            self._json({"keys": [here.key.as_dict(private=False)]})
        elif address.path == "/authorize":
            self._authorize(query)
        elif address.path == "/end":
            here.ended.append(query)
            state = urlencode({"state": query.get("state", "")})
            self._redirect(f"{query['post_logout_redirect_uri']}?{state}")
        elif address.path == "/userinfo":
            name = self.headers["Authorization"].removeprefix("Bearer access-of-")
            about = "ada" if here.fault == "another's info" else name
            self._json({"sub": f"id-of-{about}", "groups": PEOPLE[name]["groups"]})
        else:
            self._say(404, "text/plain", "nothing here")

    def _authorize(self, query: dict[str, str]) -> None:
        """Show the login form; with `user` among the parameters, answer at once."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        user = query.pop("user", "")
        if not user:
            links = "".join(
                f'<p><a href="/authorize?{html.escape(urlencode(query | {"user": name}))}">'
                f"Continue as {name}</a></p>"
                for name in (*PEOPLE, "nobody")
            )
            self._say(200, "text/html", f"<title>Provider</title><h1>Who are you?</h1>{links}")
            return
        self.provider.asked.append(query)
        answer = {"state": query["state"], "iss": self.provider.issuer}
        if self.provider.fault == "mixed up":
            answer["iss"] = "https://elsewhere.example"
        if user == "nobody":
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self.provider.codes[answer["code"]] = query | {"user": user}
        self._redirect(f"{query['redirect_uri']}?{urlencode(answer)}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        grant = self.provider.codes.pop(sent.get("code", ""), None)
        if not self._is_client(sent) or self.provider.fault == "client unknown":
            self._json({"error": "invalid_client"}, 401)
        elif grant is None or not _matches(grant, sent):
            self._json({"error": "invalid_grant"}, 400)
        else:
            token = self.provider.id_token(grant)
            self.provider.issued.append(token)
            answer = {"access_token": f"access-of-{grant['user']}", "token_type": "Bearer"}
            self._json(
                answer | ({} if self.provider.fault == "no id token" else {"id_token": token})
            )

    def _is_client(self, sent: dict[str, str]) -> bool:
        if self.provider.fault == "post only":
            return (sent.get("client_id"), sent.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        basic = self.headers.get("Authorization", "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        return (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)

    def _redirect(self, url: str) -> None:
        self.send_response(302)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, content: object, status: int = 200) -> None:
        self._say(status, "application/json", json.dumps(content))

    def _say(self, status: int, content_type: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def _matches(grant: dict[str, str], sent: dict[str, str]) -> bool:
    digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    same_place = grant["redirect_uri"] == sent.get("redirect_uri")
    return challenge == grant["code_challenge"] and same_place


@contextmanager
def running_provider(port: int = 0) -> Iterator[OidcProvider]:
    """Run a provider on a free port while the block runs."""
    provider = OidcProvider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        provider.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


def provider_settings(provider: OidcProvider, public_url: str) -> dict[str, str]:
    """Return the page's environment for sign-in by this provider."""
    return {
        "PAYMENTS_UI_SIGN_IN": "oidc",
        "PAYMENTS_UI_PUBLIC_URL": public_url,
        "PAYMENTS_UI_OIDC_ISSUER": provider.issuer,
        "PAYMENTS_UI_OIDC_CLIENT_ID": CLIENT_ID,
        "PAYMENTS_UI_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "PAYMENTS_UI_OIDC_OPERATORS": "payments-operators",
        "PAYMENTS_UI_OIDC_VIEWERS": "payments-viewers",
    }


def main() -> None:
    """Run a provider on the port that the argument names, until Ctrl-C or SIGTERM.

    Prints the page's settings as lines for a shell, and the users as a comment among them.
    """
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # Before the server's thread, which inherits it.
    page = f"http://127.0.0.1:{os.environ.get('UI_PORT') or 3000}"
    with running_provider(int(sys.argv[1])) as running:
        for line in provider_settings(running, page).items():
            print("export {}={!r}".format(*line))
        users = "; ".join(f"{name}: {', '.join(PEOPLE[name]['groups'])}" for name in PEOPLE)
        print(f"# Users and their groups: {users}; signing in as nobody fails.", flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
