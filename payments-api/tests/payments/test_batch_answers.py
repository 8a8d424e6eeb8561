"""A batch waits once for all its answers, each of which has its place."""

import asyncio

import pytest

from payments_api.payments.batch_answers import BatchAnswers


async def test_answers_are_in_the_orders_order_whoever_comes_first() -> None:
    batch: BatchAnswers[str] = BatchAnswers(3)
    places = batch.expect([0, 2])
    waiting = asyncio.ensure_future(batch.answered())
    error = ValueError()
    places[1].set_exception(error)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert [place.done() for place in places] == [False, True]
    places[0].set_result("first")
    await waiting
    (last,) = batch.expect([1])
    last.set_result("middle")
    await batch.answered()
    assert batch.answers == ["first", "middle", error]


async def test_a_batch_that_nobody_waits_for_wants_no_answers() -> None:
    batch: BatchAnswers[str] = BatchAnswers(1)
    (place,) = batch.expect([0])
    waiting = asyncio.ensure_future(batch.answered())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert place.done()
    place.set_result("late")  # No error: it was under way.
