"""A cache of all API keys in each process, reloaded every two seconds.

Checking a key is a look-up and a hash; no request waits for its own query. Unknown keys are
looked up together, at most once a second.
"""

import asyncio
import hmac
import logging
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api import metrics
from payments_api.auth.caller import Caller
from payments_api.auth.keys import KEYS_MAX, hash_of, id_of
from payments_api.http.errors import DatabaseUnavailable, Unauthorized
from payments_core.db.engine import driver_connection, reason_of

REFRESH_SECONDS = 2.0  # How soon a revocation takes effect.
# How long a load stays valid without Postgres: a revocation takes effect by then.
LIFETIME_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 1.0  # Between two loads, for any number of unknown keys.
WAIT_SECONDS_MAX = 3.0  # For a load that decides whether a key exists.
# Requests that wait for a load; further ones are decided by the last load. Far fewer than admission
# control admits, which keeps requests with bogus keys from starving legitimate clients.
WAITING_MAX = 16
MISSING_MAX = 1_000  # Ids known not to exist: no request waits for them again.
LOAD_SECONDS_MAX = 4.0
ROWS_AT_ONCE = 500  # Between two turns of the event loop: thousands of keys must not block it.
USED_SECONDS = 60.0  # Between two updates of last_used_at.

# Ended keys stay cached for a week, so that they are refused at once and with the reason.
LOAD = f"""
SELECT id, secret_hash, name, scopes, tenant, revoked_at IS NOT NULL,
       extract(epoch FROM expires_at - now())::float8
FROM api_keys
WHERE coalesce(least(revoked_at, expires_at), 'infinity') > now() - interval '7 days'
ORDER BY revoked_at NULLS FIRST, expires_at DESC NULLS FIRST LIMIT {2 * KEYS_MAX}"""

# Changes whenever the result of LOAD would change; last_used_at does not count.
STATE = """
SELECT count(*) || ':' || coalesce(sum(hashtextextended(concat_ws(
    '|', id, secret_hash, name, scopes, tenant, revoked_at, expires_at), 0)), 0) FROM api_keys"""

# In one order, skipping rows that another replica updates: no update waits for another.
USED = """
UPDATE api_keys SET last_used_at = now() FROM (
    SELECT id FROM api_keys WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE SKIP LOCKED
) AS used WHERE api_keys.id = used.id"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Key:
    key_id: str
    secret_hash: bytes
    caller: Caller
    ends_at: float  # By the monotonic clock.
    revoked: bool


class KeyRing:
    """The cached keys of one process; `run` keeps them fresh."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._keys: dict[str, _Key] = {}
        self._state: str | None = None  # Of the table, at the last load.
        self._fresh_until = float("-inf")
        self._missing: dict[str, None] = {}
        self._used: set[str] = set()
        self._waiting = 0
        self._load_requested = asyncio.Event()
        # Loads are numbered from 1: the last that began, and the last that succeeded.
        self._began = self._done = 0
        self._loaded = asyncio.Condition()

    @property
    def fresh(self) -> bool:
        """Whether the last load is still valid."""
        return monotonic() < self._fresh_until

    def known(self, authorization: str | None) -> Caller | None:
        """Return the caller of a valid cached key, which nearly every request has, or None.

        The hash covers the whole key, so its format needs no check.
        """
        if authorization is None or not authorization.startswith("Bearer pay_"):
            return None
        key = authorization[7:]
        known = self._keys.get(key[4:16])
        if known is None or known.revoked or monotonic() >= min(known.ends_at, self._fresh_until):
            return None
        if not hmac.compare_digest(known.secret_hash, hash_of(key)):
            return None
        self._used.add(known.key_id)
        return known.caller

    async def caller_of(self, authorization: str | None) -> Caller:
        """Return the caller of the header's key.

        Raises Unauthorized, and DatabaseUnavailable if the key cannot be verified.
        """
        if authorization is None:
            raise _refused("missing", "Send the header Authorization: Bearer <API key>.")
        scheme, _, key = authorization.partition(" ")
        key_id = id_of(key) if scheme.lower() == "bearer" else None
        if key_id is None:
            raise _refused("malformed", "The Authorization header contains no API key.")
        known = self._keys.get(key_id)
        now = monotonic()
        if now >= self._fresh_until or (known is None and key_id not in self._missing):
            known = await self._look_up(key_id, stale=now >= self._fresh_until)
        if known is None or not hmac.compare_digest(known.secret_hash, hash_of(key)):
            raise _refused("unknown", "The API key is unknown.")
        if known.revoked:
            raise _refused("revoked", "The API key was revoked.")
        if now >= known.ends_at:
            raise _refused("expired", "The API key has expired.")
        self._used.add(key_id)
        return known.caller

    async def _look_up(self, key_id: str, *, stale: bool) -> _Key | None:
        """Wait for a load that decides whether the key exists, if few requests wait."""
        decided = not stale
        if self._waiting < WAITING_MAX:
            began = self._began
            # A stale cache is fresh after any load. Only a load that began after this request
            # proves that the key does not exist.
            decided = decided or await self._await_load(self._done + 1)
            if decided and key_id not in self._keys:
                decided = await self._await_load(began + 1)
                if decided and key_id not in self._keys:
                    if len(self._missing) >= MISSING_MAX:
                        self._missing.clear()
                    self._missing[key_id] = None
        if not decided:
            metrics.AUTH_REFUSALS.labels("unavailable").inc()
            raise DatabaseUnavailable("The API key cannot be verified at the moment.")
        return self._keys.get(key_id)

    async def _await_load(self, load: int) -> bool:
        """Wait until this load, or a later one, succeeds; return False on a timeout."""
        self._waiting += 1
        self._load_requested.set()
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX), self._loaded:
                return await self._loaded.wait_for(lambda: self._done >= load)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def is_valid(self, caller: Caller) -> bool:
        """Return whether the caller's key is still valid with the same scopes, for long streams."""
        now = monotonic()
        known = self._keys.get(caller.key_id or "")
        if known is None or known.revoked or now >= min(known.ends_at, self._fresh_until):
            return False
        return known.caller == caller

    async def until_ended(self, caller: Caller, stopping: asyncio.Event) -> None:
        """Return once the caller's key is no longer valid, or this process stops."""
        while self.is_valid(caller) and not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS / 2):
                    await stopping.wait()

    async def run(self) -> None:
        """Keep the keys fresh and record their use, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh())
            tasks.create_task(self._write_used())

    async def _refresh(self) -> None:
        while True:
            began_at = monotonic()
            self._began += 1
            self._load_requested.clear()
            try:
                async with asyncio.timeout(LOAD_SECONDS_MAX):
                    self._keys = await self._load(began_at)
            except Exception as error:  # After any error, the next load may succeed.
                log.warning("api_keys_load_failed", extra={"error": reason_of(error)})
                self._load_requested.set()
            else:
                self._fresh_until = began_at + LIFETIME_SECONDS
                async with self._loaded:
                    self._done = self._began
                    self._loaded.notify_all()
            await self._pause(began_at)

    async def _pause(self, began_at: float) -> None:
        await asyncio.sleep(began_at + LOOK_AGAIN_SECONDS - monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(began_at + REFRESH_SECONDS - monotonic()):
                await self._load_requested.wait()

    async def _load(self, now: float) -> dict[str, _Key]:
        async with driver_connection(self._engine) as connection:
            # Read first: the next load finds a change in between.
            state = await connection.fetchval(STATE, timeout=LOAD_SECONDS_MAX)
            if state == self._state:
                return self._keys
            rows: list[Any] = await connection.fetch(LOAD, timeout=LOAD_SECONDS_MAX)
        keys = {}
        for number, row in enumerate(rows, start=1):
            key_id, secret_hash, name, scopes, tenant, revoked, seconds_left = row
            ends_at = float("inf") if seconds_left is None else now + seconds_left
            caller = Caller(key_id, name, frozenset(scopes), tenant)
            keys[key_id] = _Key(key_id, secret_hash, caller, ends_at, revoked)
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._state = state
        return keys

    async def _write_used(self) -> None:
        while True:
            await asyncio.sleep(USED_SECONDS)
            await self.flush_used()

    async def flush_used(self) -> None:
        """Record which keys were used since the last call."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with driver_connection(self._engine) as connection:
                await connection.execute(USED, list(used), timeout=LOAD_SECONDS_MAX)
        except Exception as error:  # After any error, the next run records them.
            self._used |= used
            log.warning("api_key_use_update_failed", extra={"error": reason_of(error)})


def _refused(reason: str, detail: str) -> Unauthorized:
    metrics.AUTH_REFUSALS.labels(reason).inc()
    return Unauthorized(detail, invalid=reason != "missing")
