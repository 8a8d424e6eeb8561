"""Parties with a key each, and the command that makes keys."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

import pytest
from quart.typing import TestClientProtocol

from payments_api.__main__ import main
from payments_api.auth import key_cache
from payments_api.auth.caller import LEDGER_READ, PAYMENTS_READ, PAYMENTS_WRITE, SCOPES
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from testkit.command_line import Answer, CommandLine, database_in_messages

Keys: TypeAlias = Callable[..., Awaitable[str]]
Command: TypeAlias = Callable[..., Awaitable[Answer]]

CREATE = ("create", "--name", "shop")
ALL_OF_A_TENANT = (PAYMENTS_WRITE, PAYMENTS_READ, LEDGER_READ)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reload keys often."""
    monkeypatch.setattr(key_cache, "LOOK_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def make_key(database_url: str) -> AsyncIterator[Keys]:
    """Return `await make_key(tenant, *scopes)`: a new key."""
    engine = create_engine(database_url, application_name="test", pool_size=1)

    async def make(tenant: str | None, *scopes: str) -> str:
        key = new_key()
        allowed = scopes or (SCOPES if tenant is None else ALL_OF_A_TENANT)
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("of a test", frozenset(allowed), tenant))
        return key

    yield make
    await engine.dispose()


@dataclass
class Party:
    """A client with a key, and the exact data that the key must show."""

    client: TestClientProtocol
    key: str
    tenant: str | None
    made: dict[str, dict[str, Any]] = field(default_factory=dict)  # By idempotency key.
    foreign: set[str] = field(default_factory=set)  # Ids created by other tenants.
    heard: str = ""

    async def ask(self, address: str, **more: Any) -> tuple[int, Any]:
        """Send a request; return status and JSON, which must not name another tenant."""
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        method = "POST" if "json" in more else "GET"
        answer = await self.client.open(address, method=method, headers=headers, **more)
        text = await answer.get_data(as_text=True)
        # The answer may repeat the request's own values.
        self.check(text.replace(unquote(address.partition("?")[0]), "ASKED"))
        return answer.status_code, json.loads(text)

    def check(self, text: str) -> None:
        """Assert that the answer contains no separator, tenant's name or foreign id."""
        if self.tenant is not None:
            assert "~" not in text, text
            for other in ("blue", "blue-green", "green"):
                assert f'"{other} ' not in text, text
            assert not [found for found in self.foreign if found in text], text

    async def pay(self, key: str, account: str, amount: str) -> None:
        """Create or replay a payment, or be rejected: any of a client's usual requests."""
        body = {"accountId": account, "amount": amount}
        status, told = await self.ask("/payments", json=body, headers={"Idempotency-Key": key})
        before = self.made.get(key)
        if before is None:
            assert (status, told["accountId"]) == (201, account)
            self.made[key] = told
        elif (before["accountId"], before["amount"]) == (account, amount):
            assert (status, told) == (201, before)
        else:
            assert (status, told["code"]) == (422, "idempotency_key_reused")

    async def pages(self, address: str, rows: str) -> list[dict[str, Any]]:
        """Return all rows of a list, read in pages of three."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            _, page = await self.ask(f"{address}limit=3{cursor}")
            found += page[rows]
            if page["nextCursor"] is None:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    def ids(self, account: str | None = None) -> list[str]:
        """Return the ids that the list must contain, newest first."""
        mine = [m["id"] for m in self.made.values() if account in (None, m["accountId"])]
        return sorted(mine, reverse=True)


@pytest.fixture
def keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str
) -> Command:
    """`payments-api keys ...` as the owner, in this process: exit status, output and error."""
    program = CommandLine(monkeypatch, capsys, main, DATABASE_URL=database_url)

    async def run(*arguments: str, **environ: str) -> Answer:
        command = () if arguments[0] == "migrate" else ("keys",)
        return await program(*command, *arguments, **environ)

    return run


@pytest.fixture
def where(database_url: str) -> str:
    """Return the database in the form in which commands print it."""
    return database_in_messages(database_url)
