"""Sign-in of one user by password, for small sites without a provider."""

import asyncio
import hmac
import sys

import click
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from payments_ui.sign_in.settings import SignInSettings

PASSWORD_CHARS_MAX = 1000  # Longer passwords are rejected without hashing.
CHOSEN_MIN_CHARS = 12  # Of a password that a person chose; NIST SP 800-63B requires 8.


class PasswordCheck:
    """Checks name and password in the same time whether the name or the password is wrong."""

    def __init__(self, settings: SignInSettings) -> None:
        """Keep the hash; an unhashed password is hashed now and not kept."""
        self._user = settings.password_user
        hasher = PasswordHasher()
        if settings.password_hash is not None:
            self._hash = settings.password_hash.get_secret_value()
        else:
            assert settings.password is not None
            self._hash = hasher.hash(settings.password.get_secret_value())
        self._hasher = hasher
        # One at a time: each hash uses 64 MiB, most of the process's memory limit.
        self._turn = asyncio.Semaphore(1)

    async def is_right(self, user: str, password: str) -> bool:
        """Whether name and password match. Takes about 0.1 s, in a thread."""
        if len(password) > PASSWORD_CHARS_MAX:
            return False
        async with self._turn:
            right = await asyncio.to_thread(self._matches, password)
        return right & hmac.compare_digest(user.encode(), self._user.encode())

    def _matches(self, password: str) -> bool:
        try:
            return self._hasher.verify(self._hash, password)
        except (VerificationError, InvalidHashError):
            return False


def hash_password() -> int:
    """Read a password, twice on a terminal or once from standard input, and print its hash."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    else:
        try:
            password = sys.stdin.readline().rstrip("\r\n")
            password.encode()  # In the locale C, Python reads other bytes as surrogates.
        except UnicodeError:
            print("A password must be a text in UTF-8.", file=sys.stderr)
            return 1
    if not CHOSEN_MIN_CHARS <= len(password) <= PASSWORD_CHARS_MAX:
        print(
            f"A password must have {CHOSEN_MIN_CHARS} to {PASSWORD_CHARS_MAX} characters.",
            file=sys.stderr,
        )
        return 1
    print(PasswordHasher().hash(password))
    return 0
