"""A place of the sender becomes free again, whatever happens to the attempt that holds it."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.webhooks.resending import send_test
from recon_worker.webhooks import sender
from testkit.database.sql import Sql
from testkit.network.receiver import Receiver, always, answer
from testkit.waiting import until

from .conftest import OPERATOR, NewEndpoint, Sending


@pytest.mark.parametrize(
    ("step", "raw"),
    [("signed_headers", answer(200)), ("retry_after_seconds", answer(503, b"", "retry-after: 0"))],
    ids=["before the answer", "after the answer"],
)
async def test_a_fault_in_the_sender_leaks_no_place(
    sql: Sql,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    receiver: Receiver,
    new_endpoint: NewEndpoint,
    sending: Sending,
    step: str,
    raw: bytes,
) -> None:
    """The first attempt meets the fault, and holds the only place."""
    genuine, calls = getattr(sender, step), 0

    def fails_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a fault")
        return genuine(*arguments)

    monkeypatch.setattr(sender, step, fails_once)
    monkeypatch.setattr(sender, "delay_seconds", lambda attempts: 0.05)
    endpoint = await new_endpoint()
    async with transaction(engine) as tx:
        await send_test(tx, endpoint.id, None, OPERATOR)
    receiver.behave = always(raw)

    async def tried_again() -> bool:
        return bool(await sql.fetchval("SELECT count(*) > 1 FROM webhook_attempts"))

    async with sending(concurrency=1):
        await until(tried_again)
    first = await sql.fetchval("SELECT error FROM webhook_attempts WHERE number = 1")
    assert first == "RuntimeError in the sender"
