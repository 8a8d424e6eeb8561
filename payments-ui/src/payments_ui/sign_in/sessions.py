"""Sessions of people who signed in: one encrypted cookie each.

The server keeps no state, so a replica reads the cookies of every replica with the same secret key.
Consequences for revoking a session: docs/decisions/0020-page-sessions.md.
"""

import base64
import json
import secrets
from dataclasses import dataclass, replace
from time import time
from typing import Any, Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from payments_ui.sign_in.roles import Role
from payments_ui.sign_in.settings import SignInSettings

SUBJECT_MAX_CHARS = 255  # OpenID Connect's limit for `sub`.
RENEW_SECONDS_MAX = 60  # Clicks renew a session at most this often: fewer cookies.


class SealedCookies:
    """Encrypts and signs cookies' content, with a key of its own for each purpose."""

    def __init__(self, secret: str, purpose: str) -> None:
        """Derive the purpose's key from the secret that all replicas share."""
        key = HKDF(SHA256(), 32, salt=None, info=f"payments-ui {purpose}".encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(key.derive(secret.encode())))

    def seal(self, content: object) -> str:
        """Return the content, as JSON, as a cookie's value."""
        return self._fernet.encrypt(json.dumps(content).encode()).decode()

    def open(self, value: str | None) -> Any:
        """Return the sealed content, or None for anything else."""
        try:
            return json.loads(self._fernet.decrypt((value or "").encode()))
        except (InvalidToken, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Person:
    """A person who signed in, and by which method. `subject` never changes, `name` may."""

    subject: str
    name: str
    role: Role
    method: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session. Times are seconds since 1970."""

    id: str
    person: Person
    started_at: int
    seen_at: int

    @classmethod
    def begin(cls, person: Person) -> Self:
        """Begin a new session, which shares nothing with an earlier one."""
        now = int(time())
        return cls(secrets.token_urlsafe(12), person, now, now)


class Sessions:
    """Writes and reads sessions, and computes their end."""

    def __init__(self, settings: SignInSettings, secret: str) -> None:
        """Derive the key from the credentials too, so that a new password ends every session."""
        credentials = [settings.sign_in, settings.oidc_issuer, settings.oidc_client_id]
        credentials += [settings.password_user]
        for password in (settings.password_hash, settings.password):
            credentials.append(password.get_secret_value() if password else None)
        self._cookies = SealedCookies(secret, f"session {json.dumps(credentials)}")
        self.idle_seconds = settings.session_idle_minutes * 60
        self.seconds_max = settings.session_hours * 3600

    def write(self, session: Session) -> str:
        """Return the cookie's value."""
        person = session.person
        return self._cookies.seal(
            [
                *(session.id, session.started_at, session.seen_at),
                *(person.subject, person.name, int(person.role), person.method),
            ]
        )

    def read(self, cookie: str | None) -> Session | None:
        """Return the session, or None if it has ended or the cookie is not ours."""
        content = self._cookies.open(cookie)
        if not isinstance(content, list) or len(content) != 7:
            return None
        session_id, started_at, seen_at, subject, name, role, method = content
        person = Person(subject, name, Role(role), method)
        session = Session(session_id, person, started_at, seen_at)
        return session if time() < self.ends_at(session) else None

    def ends_at(self, session: Session) -> float:
        """Return when the session ends without another click."""
        return min(session.seen_at + self.idle_seconds, session.started_at + self.seconds_max)

    def renewed(self, session: Session) -> Session | None:
        """Return the session with a new idle end, or None if the last renewal is recent."""
        now = int(time())
        if now - session.seen_at < min(RENEW_SECONDS_MAX, self.idle_seconds / 10):
            return None
        return replace(session, seen_at=now)
