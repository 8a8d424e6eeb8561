"""The API keys that this process knows: all of them, read again every two seconds.

Checking a key is a look-up and a hash; no request waits for a query of its own. A key that is
not known is looked for at most once a second, together with all others that are not.
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
# How long what was read counts while Postgres cannot be asked: by then it is revoked here too.
LIFETIME_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 1.0  # Between two loads, however many unknown keys are sent.
WAIT_SECONDS_MAX = 3.0  # For a load that tells whether a key is known.
# Requests that wait for one; more are refused by what is known. Far fewer than the API lets in at
# once: who sends invented keys must not fill the places of those who have one.
WAITING_MAX = 16
MISSING_MAX = 1_000  # Ids that were looked for in vain: nobody waits for them twice.
LOAD_SECONDS_MAX = 4.0
ROWS_AT_ONCE = 500  # Of thousands of keys; requests are answered in between.
USED_SECONDS = 60.0  # Between two writings of last_used_at.

# Ended keys stay known for a week: refused at once, and with the reason.
LOAD = f"""
SELECT id, secret_hash, name, scopes, tenant, revoked_at IS NOT NULL,
       extract(epoch FROM expires_at - now())::float8
FROM api_keys
WHERE coalesce(least(revoked_at, expires_at), 'infinity') > now() - interval '7 days'
ORDER BY revoked_at NULLS FIRST, expires_at DESC NULLS FIRST LIMIT {2 * KEYS_MAX}"""

# Whether LOAD would say something else than it did; when a key was used is no change.
STATE = """
SELECT count(*) || ':' || coalesce(sum(hashtextextended(concat_ws(
    '|', id, secret_hash, name, scopes, tenant, revoked_at, expires_at), 0)), 0) FROM api_keys"""

# In one order, leaving alone what another replica is writing: nobody waits for anybody.
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
    """One process's keys. `run` keeps them fresh."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._keys: dict[str, _Key] = {}
        self._state: str | None = None  # The table's, when they were read.
        self._fresh_until = float("-inf")
        self._missing: dict[str, None] = {}
        self._used: set[str] = set()
        self._waiting = 0
        self._wanted = asyncio.Event()
        # Loads are numbered from 1: the last that began, and the last that succeeded.
        self._began = self._done = 0
        self._news = asyncio.Condition()

    @property
    def fresh(self) -> bool:
        """Whether what was read last still counts."""
        return monotonic() < self._fresh_until

    def known(self, authorization: str | None) -> Caller | None:
        """Whose key the header holds, if it is known and good: almost every request's case.

        The hash is of the whole key, so that its form need not be looked at.
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
        """Whose key the header holds. Raises Unauthorized; DatabaseUnavailable if nobody knows."""
        if authorization is None:
            raise _refused("missing", "Send the header Authorization: Bearer <API key>.")
        scheme, _, key = authorization.partition(" ")
        key_id = id_of(key) if scheme.lower() == "bearer" else None
        if key_id is None:
            raise _refused("malformed", "The Authorization header holds no API key.")
        known = self._keys.get(key_id)
        now = monotonic()
        if now >= self._fresh_until or (known is None and key_id not in self._missing):
            known = await self._look_for(key_id, stale=now >= self._fresh_until)
        if known is None or not hmac.compare_digest(known.secret_hash, hash_of(key)):
            raise _refused("unknown", "That API key is not known.")
        if known.revoked:
            raise _refused("revoked", "That API key was revoked.")
        if now >= known.ends_at:
            raise _refused("expired", "That API key has expired.")
        self._used.add(key_id)
        return known.caller

    async def _look_for(self, key_id: str, *, stale: bool) -> _Key | None:
        """Wait for the load that tells of the key, if there is room to wait."""
        told = not stale
        if self._waiting < WAITING_MAX:
            began = self._began
            # Where nothing recent is known, any load that knows the key will do. That it is not
            # there is only told by one that began after it was asked for.
            told = told or await self._look_again(self._done + 1)
            if told and key_id not in self._keys:
                told = await self._look_again(began + 1)
                if told and key_id not in self._keys:
                    if len(self._missing) >= MISSING_MAX:
                        self._missing.clear()
                    self._missing[key_id] = None
        if not told:
            metrics.AUTH_REFUSALS.labels("unavailable").inc()
            raise DatabaseUnavailable("Whether the API key is good cannot be told for now.")
        return self._keys.get(key_id)

    async def _look_again(self, load: int) -> bool:
        """Wait until this load, or one after it, succeeded; False if it takes too long."""
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX), self._news:
                return await self._news.wait_for(lambda: self._done >= load)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def is_good(self, caller: Caller) -> bool:
        """Whether the caller would still be let in with the same rights: for who stays long."""
        now = monotonic()
        known = self._keys.get(caller.key_id or "")
        if known is None or known.revoked or now >= min(known.ends_at, self._fresh_until):
            return False
        return known.caller == caller

    async def until_ended(self, caller: Caller, stopping: asyncio.Event) -> None:
        """Return once the caller's key is no longer good, or this process stops."""
        while self.is_good(caller) and not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS / 2):
                    await stopping.wait()

    async def run(self) -> None:
        """Keep the keys fresh and write down which are used, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh())
            tasks.create_task(self._write_used())

    async def _refresh(self) -> None:
        while True:
            began_at = monotonic()
            self._began += 1
            self._wanted.clear()
            try:
                async with asyncio.timeout(LOAD_SECONDS_MAX):
                    self._keys = await self._load(began_at)
            except Exception as error:  # Whatever it is, the next may get through.
                log.warning("api_keys_not_read", extra={"error": reason_of(error)})
                self._wanted.set()
            else:
                self._fresh_until = began_at + LIFETIME_SECONDS
                async with self._news:
                    self._done = self._began
                    self._news.notify_all()
            await self._pause(began_at)

    async def _pause(self, began_at: float) -> None:
        await asyncio.sleep(began_at + LOOK_AGAIN_SECONDS - monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(began_at + REFRESH_SECONDS - monotonic()):
                await self._wanted.wait()

    async def _load(self, now: float) -> dict[str, _Key]:
        async with driver_connection(self._engine) as connection:
            # Looked at first: what changes in between is found by the next load.
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
        """Write down now which keys were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with driver_connection(self._engine) as connection:
                await connection.execute(USED, list(used), timeout=LOAD_SECONDS_MAX)
        except Exception as error:  # Whatever it is: told again next time.
            self._used |= used
            log.warning("api_key_use_not_written", extra={"error": reason_of(error)})


def _refused(reason: str, detail: str) -> Unauthorized:
    metrics.AUTH_REFUSALS.labels(reason).inc()
    return Unauthorized(detail, invalid=reason != "missing")
