"""Passwords of the database's roles, sent as SCRAM verifiers and never in clear text.

The server logs `ALTER ROLE ... PASSWORD '...'` like any other statement, by log_statement, pgaudit,
pg_stat_statements and the line of a failure. A verifier proves a password without holding it.
"""

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ITERATIONS = 4096  # Postgres' own default, and the least that RFC 7677 allows.
SALT_BYTES = 16

# RFC 4013, 2.3, as Postgres reads it: also what Unicode 3.2 did not know.
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


async def set_passwords(tx: AsyncConnection, passwords: dict[str, str]) -> None:
    """Let each role log in with its password."""
    for role, password in passwords.items():
        # DDL takes no parameters: format() quotes the names on the server.
        statement = await tx.scalar(
            text("SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', :r ::text, :v ::text)"),
            {"r": role, "v": scram_verifier(password)},
        )
        assert isinstance(statement, str)
        await tx.exec_driver_sql(statement)


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return the verifier of a password: SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY.

    Source: RFC 5802, 3, and RFC 7677; the format is of pg_authid.rolpassword.
    """
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${ITERATIONS}:{salt64}${stored64}:{server64}"


def prepared(password: str) -> str:
    """Return the password prepared by SASLprep (RFC 4013), or unchanged if SASLprep rejects it.

    Postgres and libpq do the same: a password that SASLprep prohibits is taken byte by byte.
    """
    if password.isascii():
        return password
    # U+200B stands in both tables, and is a space to Postgres.
    spaced = (" " if stringprep.in_table_c12(char) else char for char in password)
    mapped = "".join(char for char in spaced if not stringprep.in_table_b1(char))
    if not mapped or any(refuses(char) for char in mapped for refuses in _PROHIBITED):
        return password
    if any(map(stringprep.in_table_d1, mapped)) and not _is_right_to_left(mapped):
        return password
    return unicodedata.normalize("NFKC", mapped)


def _is_right_to_left(text: str) -> bool:
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
