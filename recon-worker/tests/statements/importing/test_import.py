"""Import of files: all or nothing, known bytes, overlaps, the chain of balances, quarantine."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from testkit.camt_files import Day, Entry, camt053
from testkit.command_line import Answer, CommandLine
from testkit.database.sql import Sql

Run = Callable[..., Awaitable[Answer]]

COFFEE = Entry("-3.50", text="coffee")


async def _amounts(sql: Sql) -> list[str]:
    rows = await sql.fetch("SELECT amount FROM statement_lines ORDER BY id")
    return [str(row["amount"]) for row in rows]


async def _file_statuses(sql: Sql) -> list[str]:
    rows = await sql.fetch("SELECT status FROM statement_files ORDER BY id")
    return [row["status"] for row in rows]


async def test_a_statement_is_stored_with_its_lines(sql: Sql, import_bytes: Run) -> None:
    day = Day([Entry("20.00", end_to_end="INV-1"), Entry("-5.50")])
    status, out, err = await import_bytes(camt053(day))
    assert (status, err) == (0, "")
    assert "1 statement, 2 new lines, 0 known lines" in out
    stored = dict(await sql.fetchrow("SELECT * FROM statements") or {})
    assert (str(stored["opening"]), str(stored["closing"])) == ("100.00", "114.50")
    assert (stored["line_count"], stored["known_count"], str(stored["net"])) == (2, 0, "14.50")
    lines = await sql.fetch("SELECT * FROM statement_lines ORDER BY id")
    assert [(str(line["amount"]), line["end_to_end"], line["status"]) for line in lines] == [
        ("20.00", "INV-1", "unmatched"),
        ("-5.50", None, "unmatched"),
    ]
    assert await sql.fetchval("SELECT count(*) FROM statement_staging") == 0
    assert await sql.fetchval("SELECT count(*) FROM statement_uploads") == 0


async def test_the_same_bytes_change_nothing_under_any_name(sql: Sql, import_bytes: Run) -> None:
    data = camt053(Day([Entry("20.00")]))
    assert (await import_bytes(data))[0] == 0
    status, out, _ = await import_bytes(data, "renamed.xml")
    assert status == 0
    assert "these bytes were received before" in out
    assert await _amounts(sql) == ["20.00"]
    assert await _file_statuses(sql) == ["accepted"]


async def test_identical_lines_of_one_statement_are_kept(sql: Sql, import_bytes: Run) -> None:
    assert (await import_bytes(camt053(Day([COFFEE, COFFEE]))))[0] == 0
    assert await _amounts(sql) == ["-3.50", "-3.50"]


async def test_an_identical_line_of_the_next_intraday_file_is_kept(
    sql: Sql, import_bytes: Run
) -> None:
    assert (await import_bytes(camt053(Day([COFFEE], "10.00", bank_id="A"))))[0] == 0
    assert (await import_bytes(camt053(Day([COFFEE], "6.50", bank_id="B"))))[0] == 0
    assert await _amounts(sql) == ["-3.50", "-3.50"]
    occurrences = await sql.fetch("SELECT occurrence FROM statement_lines ORDER BY id")
    assert [row["occurrence"] for row in occurrences] == [1, 2]


async def test_a_day_sent_again_adds_nothing(sql: Sql, import_bytes: Run) -> None:
    day = Day([COFFEE, COFFEE, Entry("20.00")])
    assert (await import_bytes(camt053(day)))[0] == 0
    status, out, err = await import_bytes(camt053(day, message_id="M2"))
    assert status == 0, err
    assert "0 new lines, 3 known lines" in out
    assert len(await _amounts(sql)) == 3


async def test_half_known_days_add_the_other_half(sql: Sql, import_bytes: Run) -> None:
    first = [Entry("1.00", f"2026-11-{day:02}") for day in range(1, 11)]
    second = [Entry("1.00", f"2026-11-{day:02}") for day in range(6, 16)]
    whole = Day(first, "100.00", from_on="2026-11-01", to_on="2026-11-10", bank_id="A")
    overlapping = Day(second, "105.00", from_on="2026-11-06", to_on="2026-11-15", bank_id="B")
    assert (await import_bytes(camt053(whole)))[0] == 0
    status, out, err = await import_bytes(camt053(overlapping))
    assert status == 0, err
    assert "5 new lines, 5 known lines" in out
    assert len(await _amounts(sql)) == 15
    chained = await sql.fetchval(
        "SELECT p.closing + s.net - s.known_net = s.closing"
        " FROM statements s JOIN statements p ON p.id = s.previous_id"
    )
    assert chained is True


async def test_an_ambiguous_repetition_is_quarantined_and_accepted_as_new(
    sql: Sql, program: CommandLine, import_bytes: Run
) -> None:
    # Without an id of the bank: both explanations close the balances.
    day = Day([Entry("-5.00"), Entry("5.00")], bank_id="")
    assert (await import_bytes(camt053(day)))[0] == 0
    status, out, err = await import_bytes(camt053(day, message_id="M2"))
    assert status == 1, out
    assert "accept the file if they are new" in err
    file_id = await sql.fetchval("SELECT id FROM statement_files WHERE status = 'quarantined'")
    words = ("statements", "accept", str(file_id), "--reason", "the bank says so")
    status, _out, err = await program(*words)
    assert status == 0, err
    assert await _amounts(sql) == ["-5.00", "5.00", "-5.00", "5.00"]


async def test_a_gap_is_quarantined_until_the_missing_day_arrives(
    sql: Sql, import_bytes: Run, program: CommandLine
) -> None:
    days = [
        Day([Entry("1.00", f"2026-11-0{n}")], f"10{n}.00", from_on=f"2026-11-0{n}", bank_id=f"S{n}")
        for n in (1, 2, 3)
    ]
    assert (await import_bytes(camt053(days[0])))[0] == 0
    status, _, err = await import_bytes(camt053(days[2]))
    assert status == 1
    assert "opens with 103.00, but the last one, to 2026-11-01, closed with 102.00" in err
    assert await _file_statuses(sql) == ["accepted", "quarantined"]
    assert (await import_bytes(camt053(days[1])))[0] == 0
    assert await _file_statuses(sql) == ["accepted", "received", "accepted"]
    status, _, err = await import_bytes(camt053(days[2]))
    assert status == 0, err
    assert await _amounts(sql) == ["1.00", "1.00", "1.00"]


async def test_a_file_that_does_not_close_waits_for_an_operator(
    sql: Sql, import_bytes: Run, program: CommandLine
) -> None:
    status, _, err = await import_bytes(camt053(Day([Entry("20.00")], closing="120.01")))
    assert status == 1
    assert "0.01 is not explained" in err
    assert await _amounts(sql) == []
    file = await sql.fetchrow("SELECT id, problem_code, problem_at FROM statement_files")
    assert file is not None
    assert file["problem_code"] == "balance"
    assert "Stmt" in file["problem_at"]
    accept = ("statements", "accept", str(file["id"]), "--actor", "ada")
    assert (await program(*accept))[0] == 2, "a reason is required"
    status, _out, err = await program(*accept, "--reason", "the bank corrects it tomorrow")
    assert status == 0, err
    assert await _amounts(sql) == ["20.00"]
    assert await sql.fetchval("SELECT accepted_by FROM statements") == "ada"
    action = await sql.fetchrow("SELECT * FROM operator_actions WHERE action = 'accept_statement'")
    assert action is not None
    assert (action["actor"], action["reason"]) == ("ada", "the bank corrects it tomorrow")
    assert action["subject"] == f"statement file {file['id']}"


async def test_a_rejected_file_stays_rejected(
    sql: Sql, import_bytes: Run, program: CommandLine
) -> None:
    data = camt053(Day([Entry("20.00")], account="DE00"))
    assert (await import_bytes(data))[0] == 1
    file_id = await sql.fetchval("SELECT id FROM statement_files")
    accept = ("statements", "accept", str(file_id), "--reason", "please")
    status, _, err = await program(*accept)
    assert status == 1
    assert "cannot accept this" in err
    assert (await program("statements", "reject", str(file_id), "--reason", "wrong"))[0] == 0
    assert (await import_bytes(data))[0] == 1
    assert await _file_statuses(sql) == ["rejected"]


OTHER = "GB33BUKB20201555555555"
CHANNEL = ("--channel", "gb")  # A channel and currency have one source.


async def test_a_file_of_several_accounts_is_imported_for_each(
    sql: Sql, import_bytes: Run, program: CommandLine, tmp_path: Path
) -> None:
    days = (Day([Entry("20.00")]), Day([Entry("7.00")] * 2, account=OTHER, bank_id="S2"))
    data = camt053(*days)
    status, _, err = await import_bytes(data)
    assert status == 1
    assert f"of account {OTHER}, but the source bank-eur is of" in err
    assert await _amounts(sql) == []
    words = ("sources", "add", "bank-gb", "--account", OTHER, "--currency", "EUR", *CHANNEL)
    assert (await program(*words))[0] == 0
    status, out, err = await import_bytes(data)
    assert status == 0, err
    assert "1 statement, 1 new line" in out
    assert await _amounts(sql) == ["20.00"]
    path = tmp_path / "statement.xml"
    status, out, err = await program("statements", "import", str(path), "--source", "bank-gb")
    assert status == 0, err
    assert "1 statement, 2 new lines" in out
    assert await _amounts(sql) == ["20.00", "7.00", "7.00"]


async def test_a_file_of_other_accounts_alone_is_quarantined(
    import_bytes: Run, program: CommandLine
) -> None:
    words = ("sources", "add", "bank-gb", "--account", OTHER, "--currency", "EUR", *CHANNEL)
    assert (await program(*words))[0] == 0
    status, _, err = await import_bytes(camt053(Day([Entry("20.00")], account=OTHER)))
    assert status == 1
    assert f"of account {OTHER}" in err


async def test_a_problem_sends_no_control_characters_to_a_terminal(
    sql: Sql, program: CommandLine, import_bytes: Run
) -> None:
    text = (
        ":20:S\r\n:25:DE\x1b[31m\u202e9\r\n:28C:1/1\r\n"
        ":60F:C260901EUR1,00\r\n:62F:C260901EUR1,00\r\n-"
    )
    status, _, err = await import_bytes(text.encode(), "hostile.sta")
    assert (status, err.strip().isprintable()) == (1, True)
    assert r"account DE\x1b[31M\u202e9" in err
    file_id = await sql.fetchval("SELECT id FROM statement_files")
    status, _, err = await program("statements", "accept", str(file_id), "--reason", "x")
    assert (status, err.strip().isprintable()) == (1, True)


async def test_an_account_of_another_tenant_is_unknown(
    import_bytes: Run, program: CommandLine
) -> None:
    words = ("sources", "add", "gb", "--account", OTHER, "--currency", "EUR", "--tenant", "acme")
    assert (await program(*words))[0] == 0
    days = (Day([Entry("20.00")]), Day([Entry("7.00")], account=OTHER, bank_id="S2"))
    assert (await import_bytes(camt053(*days)))[0] == 1


GOOD = camt053(Day([Entry("20.00"), Entry("5.00")]))
REFUSED = {
    "an account of another source": (
        camt053(Day([Entry("1.00")], account="GB33BUKB20201555555555")),
        "account",
        "of account GB33BUKB20201555555555",
    ),
    "another currency": (camt053(Day([Entry("1.00")], currency="USD")), "currency", "is USD"),
    "too many decimals": (camt053(Day([Entry("1.001")])), "malformed", "2 decimals"),
    "an impossible date": (GOOD.replace(b"2026-11-27</Dt>", b"2026-02-30</Dt>"), "malformed", ""),
    "a truncated end": (GOOD[:-60], "malformed", ""),
    "half a file": (GOOD[: len(GOOD) // 2], "malformed", ""),
    "an entity": (
        GOOD.replace(b"<Document", b'<!DOCTYPE x [<!ENTITY y "z">]><Document'),
        "malformed",
        "",
    ),
    "no statement": (b"Dear customer,\n", "malformed", ""),
    "other XML": (b"<html></html>", "malformed", "html"),
    "binary": (bytes(range(256)) * 10, "malformed", ""),
    "a second statement that does not continue the first": (
        camt053(
            Day([Entry("1.00", "2026-11-26")], "1.00", from_on="2026-11-26"),
            Day([Entry("1.00")], "7.00", bank_id="S2"),
        ),
        "chain",
        "opens with 7.00",
    ),
}


@pytest.mark.parametrize(("data", "code", "text"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_file_is_quarantined_whole_with_the_place(
    sql: Sql, import_bytes: Run, data: bytes, code: str, text: str
) -> None:
    status, out, err = await import_bytes(data)
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert text in err
    file = await sql.fetchrow("SELECT status, problem_code, problem_at FROM statement_files")
    assert file is not None
    assert (file["status"], file["problem_code"]) == ("quarantined", code)
    assert file["problem_at"]
    assert await sql.fetchval("SELECT count(*) FROM statements") == 0
    assert await sql.fetchval("SELECT count(*) FROM statement_staging") == 0


async def test_exported_bytes_are_those_received(
    sql: Sql, import_bytes: Run, program: CommandLine
) -> None:
    assert (await import_bytes(GOOD))[0] == 0
    file_id = await sql.fetchval("SELECT id FROM statement_files")
    status, out, _ = await program("statements", "export", str(file_id))
    assert status == 0
    assert out.encode() == GOOD


async def test_a_statement_of_a_mistyped_year_is_quarantined(sql: Sql, import_bytes: Run) -> None:
    soon = (datetime.now(UTC).date() + timedelta(days=7)).isoformat()
    assert (await import_bytes(camt053(Day([COFFEE], from_on=soon)), "soon.xml"))[0] == 0
    status, out, err = await import_bytes(camt053(Day([COFFEE], from_on="2062-11-27")))
    assert status == 1
    assert "the statement ends on 2062-11-27: more than a month ahead" in out + err
    assert await sql.fetchval("SELECT max(to_on) FROM statements") == date.fromisoformat(soon)
