"""At the door: as many creations as there is room for, also of those that come all at once."""

import asyncio
from typing import Any

import pytest

from payments_api.limits.admission import TURNS_UNTIL_ADMITTED, Admission
from payments_api.limits.client_limits import ClientLimits
from payments_api.settings import ApiSettings

ROOM = 3
CREATION = (
    b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)


@pytest.fixture
def admission() -> Admission:
    settings = ApiSettings.model_validate(
        {"auth": "off", "requests_max": ROOM, "DATABASE_URL": "postgresql://nobody@localhost/none"}
    )

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(3600)

    return Admission(inner, settings, ClientLimits(settings))


def _let_in(admission: Admission, requests: int) -> int:
    """How many of them are not refused."""
    return sum(admission.refuse_unread(CREATION) is None for _ in range(requests))


async def _ask(admission: Admission) -> asyncio.Task[None]:
    scope = {"type": "http", "method": "POST", "path": "/payments", "headers": []}
    return asyncio.create_task(admission(scope, None, None))  # type: ignore[arg-type]


async def test_of_those_that_come_in_one_turn_only_as_many_get_in_as_there_is_room_for(
    admission: Admission,
) -> None:
    assert _let_in(admission, 10) == ROOM
    waiting = [await _ask(admission) for _ in range(ROOM)]
    for _ in range(TURNS_UNTIL_ADMITTED + 1):
        await asyncio.sleep(0)
        assert _let_in(admission, 10) == 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert _let_in(admission, 10) == ROOM


async def test_who_was_let_in_and_does_not_ask_takes_no_room_for_long(
    admission: Admission,
) -> None:
    assert _let_in(admission, 10) == ROOM
    for _ in range(TURNS_UNTIL_ADMITTED):
        await asyncio.sleep(0)
    assert _let_in(admission, 10) == ROOM


async def test_who_asks_at_once_is_counted_once(admission: Admission) -> None:
    waiting = []
    for left in range(ROOM, 0, -1):
        assert _let_in(admission, 1) == 1
        waiting.append(await _ask(admission))
        await asyncio.sleep(0)
        assert admission.writes.under_way == ROOM - left + 1
    assert _let_in(admission, 1) == 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
