"""Notifications: combined while one is being sent, bounded, and harmless to their sender."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import create_engine
from payments_core.queue.jobs import JOBS_CHANNEL
from payments_core.queue.notify import IDS_PER_NOTICE_MAX, PAYMENTS_CHANNEL, TOO_MANY, Notifier
from testkit.database.sql import Sql
from testkit.waiting import until

Heard = list[tuple[str, str]]


@pytest.fixture
async def heard(sql: Sql) -> Heard:
    """Collect the notifications on both channels as (channel, payload)."""
    heard: Heard = []
    for channel in (PAYMENTS_CHANNEL, JOBS_CHANNEL):
        await sql.add_listener(channel, lambda _c, _p, name, text: heard.append((name, str(text))))
    return heard


@pytest.fixture
async def notifier(engine: AsyncEngine) -> AsyncIterator[Notifier]:
    notifier = Notifier(engine)
    running = asyncio.create_task(notifier.run())
    yield notifier
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _until_heard(heard: Heard, count: int) -> None:
    async def enough() -> bool:
        return len(heard) >= count

    await until(enough)
    await asyncio.sleep(0.05)
    assert len(heard) == count


def _ids(count: int) -> list[UUID]:
    return [UUID(int=n) for n in range(count)]


async def test_a_notice_names_payments_and_wakes_workers_only_for_new_jobs(
    notifier: Notifier, heard: Heard
) -> None:
    first, second = _ids(2)
    notifier.payments_changed([first])
    await _until_heard(heard, 1)
    notifier.payments_changed([second], jobs_added=True)
    await _until_heard(heard, 3)
    assert heard[0] == (PAYMENTS_CHANNEL, str(first))
    assert set(heard[1:]) == {(PAYMENTS_CHANNEL, str(second)), (JOBS_CHANNEL, "")}


async def test_changes_during_a_send_are_combined_in_the_next_notice(
    notifier: Notifier, heard: Heard
) -> None:
    for payment_id in _ids(IDS_PER_NOTICE_MAX):
        notifier.payments_changed([payment_id])
    await _until_heard(heard, 1)
    assert heard[0][1].split() == [str(payment_id) for payment_id in _ids(IDS_PER_NOTICE_MAX)]


async def test_too_many_payments_are_not_named(notifier: Notifier, heard: Heard) -> None:
    for payment_id in _ids(IDS_PER_NOTICE_MAX + 1):
        notifier.payments_changed([payment_id])
    notifier.payments_changed(_ids(3))
    await _until_heard(heard, 1)
    notifier.payments_changed(_ids(1))
    await _until_heard(heard, 2)
    assert [text for _, text in heard] == [TOO_MANY, str(UUID(int=0))]


async def test_without_a_change_nothing_is_sent(notifier: Notifier, heard: Heard) -> None:
    notifier.payments_changed([])
    await notifier.flush()
    await _until_heard(heard, 0)


async def test_waiting_changes_can_be_sent_at_once(engine: AsyncEngine, heard: Heard) -> None:
    notifier = Notifier(engine)  # The notifier's loop does not run, as in a stopping process.
    notifier.payments_changed(_ids(1))
    await notifier.flush()
    await _until_heard(heard, 1)


async def test_a_failed_notice_does_not_stop_the_next(
    notifier: Notifier, sql: Sql, heard: Heard
) -> None:
    notifier.payments_changed(_ids(1))
    await _until_heard(heard, 1)
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"
    )

    async def heard_again() -> bool:
        notifier.payments_changed(_ids(1))
        return len(heard) > 1

    await until(heard_again)


async def test_an_unreachable_database_costs_notices_and_no_memory() -> None:
    engine = create_engine(
        "postgresql://nobody@127.0.0.1:1/nowhere", application_name="test", pool_size=1
    )
    notifier = Notifier(engine)
    for _ in range(100):
        notifier.payments_changed(_ids(IDS_PER_NOTICE_MAX))
    await notifier.flush()
    assert notifier._changed == []
    await engine.dispose()
