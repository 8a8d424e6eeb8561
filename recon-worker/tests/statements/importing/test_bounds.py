"""Bounds of one file in memory: its statements, and the texts of the rows copied at once."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from recon_worker.statements.importing import checks
from recon_worker.statements.importing.checks import FileReader
from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import Answer
from testkit.database.sql import Sql
from testkit.statements import camt, entry, read

Run = Callable[..., Awaitable[Answer]]


async def test_a_file_of_too_many_statements_is_quarantined(
    sql: Sql, import_bytes: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "STATEMENTS_MAX", 1)
    days = [
        Day([Entry("1.00", f"2026-11-0{n}")], f"10{n}.00", from_on=f"2026-11-0{n}", bank_id=f"S{n}")
        for n in (1, 2)
    ]
    status, _, err = await import_bytes(camt053(*days))
    assert status == 1
    assert "Stmt 2: the file has more than 1 statements: split it" in err
    assert await sql.fetchval("SELECT count(*) FROM statement_lines") == 0


@pytest.mark.parametrize(
    "text",
    ["<RmtInf><Ustrd>{}</Ustrd></RmtInf>", "<RltdPties><Dbtr><Nm>{}</Nm></Dbtr></RltdPties>"],
)
def test_rows_with_long_texts_are_copied_in_smaller_groups(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ROWS_TEXT_MAX_CHARS", 1_000)
    long = entry("1", details=f"<TxDtls>{text.format('x' * 600)}</TxDtls>")
    events = iter(read(camt(*[long] * 5, message="camt.052.001.02")))
    source = SimpleNamespace(
        name="bank", account_identifier="DE89370400440532013000", currency="EUR"
    )
    reader = FileReader(uuid4(), cast(Any, source), events, frozenset(), vouched=False)
    assert [len(reader.next_rows()) for _ in range(4)] == [2, 2, 1, 0]
