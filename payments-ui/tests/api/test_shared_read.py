"""Concurrent reads of many pages cost the API one read."""

import asyncio

import pytest

from payments_ui.api.shared_read import SharedRead, SharedReads


class Counted:
    """Counts its reads, and fails where told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None

    async def read(self) -> int:
        self.reads += 1
        await asyncio.sleep(0.01)
        if self.error:
            raise self.error
        return self.reads


async def test_simultaneous_callers_share_one_read() -> None:
    source = Counted()
    shared = SharedRead(source.read, fresh_seconds=60)
    assert await asyncio.gather(*(shared.get() for _ in range(200))) == [1] * 200
    assert await shared.get() == 1


async def test_a_stale_answer_is_refetched() -> None:
    shared = SharedRead(Counted().read, fresh_seconds=0)
    assert await shared.get() == 1
    await asyncio.sleep(0.001)
    assert await shared.get() == 2


async def test_an_error_is_shared_but_not_kept() -> None:
    source = Counted()
    source.error = ValueError("down")
    shared = SharedRead(source.read, fresh_seconds=60)
    answers = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
    assert set(answers) == {source.error}
    source.error = None
    assert await shared.get() == 2


async def test_a_cancelled_caller_does_not_cancel_the_shared_read() -> None:
    shared = SharedRead(Counted().read, fresh_seconds=60)
    leaving = asyncio.create_task(shared.get())
    staying = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_each_key_has_its_own_answer_in_a_bounded_cache() -> None:
    asked: list[str] = []

    async def read(key: str) -> str:
        asked.append(key)
        return key.upper()

    shared = SharedReads(read, fresh_seconds=60, keys_max=2)
    assert [await shared.get(key) for key in "aabac"] == ["A", "A", "B", "A", "C"]
    assert asked == ["a", "b", "c"]
    assert await shared.get("b") == "B"
    assert asked == ["a", "b", "c", "b"]
