"""Known lines that sum to zero: the balances cannot say whether a statement repeats them."""

from collections.abc import Awaitable, Callable

import pytest

from testkit.camt_files import ACCOUNT
from testkit.command_line import Answer, CommandLine
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]

REFERENCED = "C1,00NTRFNONREF//B1", "D1,00NTRFNONREF//B2"
BARE = "C1,00NMSCNONREF", "D1,00NMSCNONREF"


def message(
    *lines: str,
    number: str,
    name: str = "S",
    opening: str = "F:C261106EUR98,",
    closing: str = "F:C261106EUR98,",
) -> bytes:
    """Return one message of MT940, with F for a first or final balance and M for one between."""
    entries = "".join(f":61:2611061106{line}\n" for line in lines)
    head = f":20:{name}\n:25:{ACCOUNT}\n:28C:{number}\n:60{opening}\n"
    return f"{head}{entries}:62{closing}\n-\n".encode()


WHOLE = message(*REFERENCED, number="2")
FIRST = message(REFERENCED[0], number="2/1", closing="M:C261106EUR99,")
SECOND = message(REFERENCED[1], number="2/2", opening="M:C261106EUR99,")


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (FIRST + SECOND, WHOLE),
        (WHOLE, message(*REFERENCED, number="7", name="T")),
        (WHOLE, message(*REFERENCED, number="7")),
    ],
    ids=["pages then whole", "other number and id", "other number"],
)
async def test_lines_with_the_banks_reference_are_known(
    sql: Sql, import_bytes: Run, before: bytes, again: bytes
) -> None:
    assert (await import_bytes(before))[0] == 0
    status, out, err = await import_bytes(again)
    assert status == 0, err
    assert "0 new lines, 2 known lines" in out
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 2


async def test_equal_lines_of_two_pages_are_kept_though_both_have_one_id(
    sql: Sql, import_bytes: Run
) -> None:
    pages = message(*BARE, number="5/1", closing="M:C261106EUR98,") + message(
        *BARE, number="5/2", opening="M:C261106EUR98,"
    )
    assert (await import_bytes(pages))[0] == 0
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 4


@pytest.mark.parametrize(("number", "lines"), [("2", 2), ("3", 4)])
async def test_without_references_the_statements_number_decides(
    sql: Sql, import_bytes: Run, number: str, lines: int
) -> None:
    assert (await import_bytes(message(*BARE, number="2")))[0] == 0
    status, _, err = await import_bytes(message(*BARE, number=number, name="T"))
    assert status == 0, err
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == lines


FEE = "D1,00NCHGNONREF//FEE"


@pytest.mark.parametrize(
    ("before", "page", "total"),
    [
        (
            message(FEE, number="2/1", closing="M:C261106EUR97,"),
            message(FEE, number="2/2", opening="M:C261106EUR97,", closing="F:C261106EUR96,"),
            -2,
        ),
        (WHOLE, FIRST, 1),
    ],
    ids=["one reference for two fees", "a page of a day that is known"],
)
async def test_an_operator_decides_where_references_and_balances_disagree(
    sql: Sql, program: CommandLine, import_bytes: Run, before: bytes, page: bytes, total: int
) -> None:
    assert (await import_bytes(before))[0] == 0
    status, _, err = await import_bytes(page)
    assert status == 1
    assert "accept the file if they are new" in err
    file_id = await sql.fetchval("SELECT id FROM statement_files WHERE status = 'quarantined'")
    status, _, err = await program("statements", "accept", str(file_id), "--reason", "they are new")
    assert status == 0, err
    assert await sql.fetchval("SELECT sum(amount) FROM statement_lines") == total
