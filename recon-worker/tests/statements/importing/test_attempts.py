"""A file whose import never ends is tried a few times, then given up; it holds up no other file."""

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import AnyRow, transaction
from payments_core.statements.files import decide
from payments_core.statements.receive import receive_file
from payments_core.statements.sources import NewSource, add_source, find_source
from recon_worker.failpoints import IMPORT_POINTS
from recon_worker.statements.importing.claim import (
    ATTEMPTS_MAX,
    begin_next,
    count_attempt,
    hold,
    is_any_due,
)
from recon_worker.statements.importing.load import UNFINISHED, import_next
from testkit.camt_files import Day, Entry, camt053
from testkit.database.ledgers.settled import findings_of
from testkit.database.sql import Sql
from testkit.waiting import until

from ..conftest import Fork

FIRST = camt053(Day([Entry("20.00")]))
# Its own balances do not add up.
WRONG = camt053(Day([Entry("20.00")], closing="1.00"))
OTHER_ACCOUNT = "DE02120300000000202051"
Ended: TypeAlias = tuple[int, list[dict[str, str]]]
ImportReceived: TypeAlias = Callable[..., Awaitable[Ended]]
WAIT_IS_OVER = "UPDATE statement_files SET retry_at = now() WHERE status = 'received'"


@pytest.fixture
async def first(engine: AsyncEngine, source: str) -> AnyRow:
    """A received file."""
    return await _receive(engine, source, FIRST)


async def _receive(engine: AsyncEngine, source: str, data: bytes) -> AnyRow:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    async with transaction(engine) as tx:
        row = await find_source(tx, source, None)
    options = {"file_name": None, "operator": Operator("ann"), "bytes_max": 10**9}
    file, _ = await receive_file(engine, row, pieces(), **options)  # type: ignore[arg-type]  # Values of several types.
    return file


@pytest.fixture
def import_received(fork: Fork) -> ImportReceived:
    """Runs the worker's process of imports; returns its status and the files that it decided."""

    async def run(point: str | None = None) -> Ended:
        status, output = await fork("statements", "import-received", kill=point and f"{point} 1")
        lines = output.splitlines()  # The others tell an operator what goes on.
        return status, [json.loads(line) for line in lines if line.startswith("{")]

    return run


@pytest.mark.parametrize("point", IMPORT_POINTS)
async def test_a_file_that_kills_each_import_is_given_up_and_holds_up_no_other(
    sql: Sql,
    engine: AsyncEngine,
    source: str,
    first: AnyRow,
    import_received: ImportReceived,
    point: str,
) -> None:
    async def is_rolled_back() -> bool:
        return not await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'recon-worker-cli'"
        )

    killed: Ended = (-signal.SIGKILL, [])
    assert await import_received(point) == killed
    await until(is_rolled_back)
    # While it waits, a younger file of another source is imported.
    await sql.execute("UPDATE statement_files SET retry_at = retry_at + interval '1 hour'")
    async with transaction(engine) as tx:
        await add_source(tx, NewSource("other", OTHER_ACCOUNT, "EUR", channel="x"), Operator("ann"))
    second = await _receive(engine, "other", camt053(Day([Entry("1.00")], account=OTHER_ACCOUNT)))
    status, decided = await import_received()
    assert (status, [each["file"] for each in decided]) == (0, [str(second.id)])
    for number in range(1, ATTEMPTS_MAX):
        assert await _attempts(sql, first) == ("received", number)
        await sql.execute(WAIT_IS_OVER)
        assert await import_received(point) == killed
        await until(is_rolled_back)
    await sql.execute(WAIT_IS_OVER)
    status, decided = await import_received(point)
    assert (status, [each["problem"] for each in decided]) == (0, [UNFINISHED.problem])
    assert await _attempts(sql, first) == ("quarantined", 0)
    assert not await is_any_due(engine)


async def _attempts(sql: Sql, file: AnyRow) -> tuple[str, int]:
    query = "SELECT status, attempts FROM statement_files WHERE id = $1"
    ((status, attempts),) = await sql.fetch(query, file.id)
    return status, attempts


async def _give_up(sql: Sql, engine: AsyncEngine, file: AnyRow) -> None:
    await sql.execute(
        "UPDATE statement_files SET attempts = $1 WHERE id = $2", ATTEMPTS_MAX, file.id
    )
    given_up = await import_next(engine)
    assert given_up is not None
    assert (given_up.status, given_up.problem_code) == ("quarantined", "unfinished")


async def test_an_operator_has_it_tried_again_on_record(
    sql: Sql, engine: AsyncEngine, first: AnyRow
) -> None:
    await _give_up(sql, engine, first)
    async with transaction(engine) as tx:
        file = await decide(tx, first.id, Operator("ann"), "more memory", accept=True)
    assert (file.status, file.accepted_by) == ("received", None)
    assert (await import_next(engine)).status == "accepted"  # type: ignore[union-attr]  # A file waits.
    recorded = await sql.fetch(
        "SELECT action, actor FROM operator_actions WHERE reason = 'more memory'"
    )
    assert [tuple(row) for row in recorded] == [("receive_statement", "ann")]
    findings = await findings_of(engine, "full")
    assert findings["acceptance_is_on_record"].offenders == []


async def test_trying_again_vouches_for_no_balance(
    sql: Sql, engine: AsyncEngine, source: str
) -> None:
    wrong = await _receive(engine, source, WRONG)
    await _give_up(sql, engine, wrong)
    async with transaction(engine) as tx:
        await decide(tx, wrong.id, Operator("ann"), "more memory", accept=True)
    file = await import_next(engine)
    assert file is not None
    assert (file.status, file.problem_code) == ("quarantined", "balance")


async def test_each_attempt_waits_longer(sql: Sql, engine: AsyncEngine, first: AnyRow) -> None:
    waits = []
    for _ in range(ATTEMPTS_MAX):
        async with transaction(engine) as tx:
            await count_attempt(tx, first.id)
            query = "SELECT extract(epoch FROM retry_at - now())::integer FROM statement_files"
            waits.append((await tx.exec_driver_sql(query)).scalar_one())
    assert waits == [5, 20, 80, 300, 300]
    assert await begin_next(engine) is None
    await sql.execute(WAIT_IS_OVER)
    assert await begin_next(engine) is not None


async def test_of_two_processes_that_begin_the_later_one_has_the_file(
    sql: Sql, engine: AsyncEngine, first: AnyRow
) -> None:
    earlier = await begin_next(engine)
    await sql.execute(WAIT_IS_OVER)
    later = await begin_next(engine)
    assert earlier is not None
    assert later is not None
    async with transaction(engine) as tx, transaction(engine) as other:
        assert await hold(tx, earlier) is None
        assert await hold(tx, later) is not None
        assert await hold(other, later) is None
