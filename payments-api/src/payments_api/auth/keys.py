"""API keys: their format, and how they are created, listed, rotated and revoked.

A key is `pay_<id>_<secret>`: a prefix that secret scanners look for, a public id, and 256
random bits. Only a SHA-256 of it is stored: docs/decisions/0016-api-keys.md.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import JOBS_ADMIN, SCOPES
from payments_core.db.engine import AnyRow
from payments_core.db.tables import api_keys
from payments_core.domain.payments import TENANT_PATTERN

KEY_PATTERN = r"pay_[0-9a-z]{12}_[0-9A-Za-z]{43}"
KEYS_MAX = 10_000  # Every process keeps all of them in memory.
NAME_MAX_CHARS = 100
_ID_CHARS, _ID_LENGTH = string.digits + string.ascii_lowercase, 12
# 43 of 62 characters are 256 bits. No _ or -, so that a double click selects the whole key.
_SECRET_CHARS, _SECRET_LENGTH = string.digits + string.ascii_letters, 43
_KEY = re.compile(KEY_PATTERN)
_ID = re.compile(rf"[0-9a-z]{{{_ID_LENGTH}}}")
_TENANT = re.compile(TENANT_PATTERN)


class KeyRefused(ValueError):
    """A request for a key is invalid; the message is one line for a person."""


class KeyRevoked(KeyRefused):
    """A revoked key stays revoked."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key {key_id} was revoked, which is final: create another key")


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """The name, scopes, tenant and expiry of a key, validated. Raises KeyRefused."""

    name: str
    scopes: frozenset[str]
    tenant: str | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        """Validate every field."""
        if not 1 <= len(self.name) <= NAME_MAX_CHARS or not self.name.isprintable():
            raise KeyRefused(f"a name must have 1 to {NAME_MAX_CHARS} printable characters")
        unknown = self.scopes - SCOPES.keys()
        if unknown or not self.scopes:
            wrong = f"unknown scope {', '.join(sorted(unknown))}" if unknown else "no scope given"
            raise KeyRefused(f"{wrong}; the scopes are {', '.join(SCOPES)}")
        if self.tenant is not None:
            if not _TENANT.fullmatch(self.tenant):
                raise KeyRefused(
                    "a tenant must have 1 to 32 characters of a-z, 0-9 and -, and not start with -"
                )
            if JOBS_ADMIN in self.scopes:
                raise KeyRefused(
                    f"{JOBS_ADMIN} covers all tenants: it cannot be combined with a tenant"
                )


def new_key() -> str:
    """Return a new key, to be shown once."""
    key_id = "".join(secrets.choice(_ID_CHARS) for _ in range(_ID_LENGTH))
    return f"pay_{key_id}_" + "".join(secrets.choice(_SECRET_CHARS) for _ in range(_SECRET_LENGTH))


def id_of(key: str) -> str | None:
    """Return the public id in a key, or None if the text is no key."""
    return key[4 : 4 + _ID_LENGTH] if _KEY.fullmatch(key) else None


def hash_of(key: str) -> bytes:
    """Return the stored hash of a key. Its 256 random bits need no slower hash."""
    return hashlib.sha256(key.encode()).digest()


def in_order(scopes: Iterable[str]) -> list[str]:
    """Return the scopes in their usual order."""
    return [scope for scope in SCOPES if scope in scopes]


async def add_key(
    tx: AsyncConnection, key: str, grant: KeyGrant, replaces: str | None = None
) -> None:
    """Store a new key. Raises KeyRefused if there are too many."""
    active = select(func.count()).select_from(api_keys).where(api_keys.c.revoked_at.is_(None))
    if (await tx.execute(active)).scalar_one() >= KEYS_MAX:
        raise KeyRefused(f"there are {KEYS_MAX} keys: revoke unused ones")
    await tx.execute(
        insert(api_keys).values(
            id=id_of(key),
            secret_hash=hash_of(key),
            name=grant.name,
            scopes=in_order(grant.scopes),
            tenant=grant.tenant,
            expires_at=grant.expires_at,
            replaces=replaces,
        )
    )


async def ensure_key(tx: AsyncConnection, key: str, grant: KeyGrant) -> bool:
    """Store a key that was made elsewhere; return whether it is new.

    A key that is there takes the name and scopes given and keeps its end. Raises KeyRevoked, and
    KeyRefused for a text that is no key or a key of another tenant.
    """
    key_id = id_of(key)
    if key_id is None:
        raise KeyRefused(f"not an API key: it must match {KEY_PATTERN}")
    query = select(api_keys).where(api_keys.c.id == key_id).with_for_update()
    stored = (await tx.execute(query)).one_or_none()
    if stored is None:
        await add_key(tx, key, grant)
        return True
    if stored.secret_hash != hash_of(key):
        raise KeyRefused(f"key {key_id} exists with another secret: create another key")
    if stored.revoked_at is not None:
        raise KeyRevoked(key_id)
    if stored.tenant != grant.tenant:
        raise KeyRefused(f"key {key_id} belongs to another tenant: create another key")
    await tx.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id)
        .values(name=grant.name, scopes=in_order(grant.scopes))
    )
    return False


async def list_keys(
    tx: AsyncConnection, *, ended_too: bool, limit: int, after: str | None = None
) -> Sequence[AnyRow]:
    """Return the keys, oldest first, without hashes; `ended_too` adds revoked and expired ones.

    They are newer than the key with the id `after`. Raises KeyRefused if there is none.
    """
    shown = [column for column in api_keys.c if column.name != "secret_hash"]
    query = select(*shown)
    if not ended_too:
        query = query.where(
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now()),
        )
    position = tuple_(api_keys.c.created_at, api_keys.c.id)
    if after is not None:
        last = select(api_keys.c.created_at, api_keys.c.id).where(api_keys.c.id == after)
        row = (await tx.execute(last)).one_or_none()
        if row is None:
            raise KeyRefused(f"no key has the id {after}")
        query = query.where(position > tuple_(*row))
    query = query.order_by(api_keys.c.created_at, api_keys.c.id).limit(limit)
    return (await tx.execute(query)).all()


async def rotate_key(tx: AsyncConnection, key_id: str, grace: timedelta) -> tuple[str, datetime]:
    """Create a successor with the same scopes; return it and the old key's end.

    The old key ends after the grace period, or at its own expiry if that is earlier. The successor
    of a key with an expiry gets the same lifetime, from now on. Raises KeyRefused.
    """
    old = await _active(tx, key_id)
    key = new_key()
    now = (await tx.execute(select(func.now()))).scalar_one()
    life = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    await add_key(tx, key, KeyGrant(old.name, frozenset(old.scopes), old.tenant, life), key_id)
    ends = now + grace if old.expires_at is None else min(old.expires_at, now + grace)
    await tx.execute(update(api_keys).where(api_keys.c.id == key_id).values(expires_at=ends))
    return key, ends


async def revoke_key(tx: AsyncConnection, key_id: str) -> bool:
    """Revoke a key for good; return False if it was revoked before. Raises KeyRefused."""
    if (await _key(tx, key_id)).revoked_at is not None:
        return False
    revoked = update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=func.now())
    await tx.execute(revoked)
    return True


async def _active(tx: AsyncConnection, key_id: str) -> AnyRow:
    row = await _key(tx, key_id)
    now = (await tx.execute(select(func.now()))).scalar_one()
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        raise KeyRefused(f"key {key_id} has ended: create another key")
    return row


async def _key(tx: AsyncConnection, key_id: str) -> AnyRow:
    query = select(api_keys).where(api_keys.c.id == key_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise KeyRefused(f"no key has the id {key_id}")
    return row


def checked_key_id(text: str) -> str:
    """Return the key id in a text that is an id or a key. Raises KeyRefused, quoting neither."""
    if _ID.fullmatch(text):
        return text
    key_id = id_of(text)
    if key_id is None:
        raise KeyRefused("pass a key's id: the 12 characters after pay_, which `keys list` shows")
    return key_id
