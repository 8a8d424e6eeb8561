"""Downloads are streamed and bounded, and contain no cell that runs as a formula."""

import csv
import io

import pytest

from payments_ui.web import csv_download
from payments_ui.web.csv_download import csv_line, csv_pages, safe_cell


@pytest.mark.parametrize(
    "hostile",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "-cmd|' /C'!A0"],
)
def test_a_formula_becomes_text(hostile: str) -> None:
    assert safe_cell(hostile) == f"'{hostile}"
    [[cell]] = csv.reader(io.StringIO(csv_line([hostile])))
    assert cell.startswith("'")


@pytest.mark.parametrize("harmless", ["-12.50", "100", "2026-11-22T21:18:22Z", "acct_1", ""])
def test_figures_and_names_are_unchanged(harmless: str) -> None:
    assert safe_cell(harmless) == harmless


async def test_a_download_holds_one_page_and_reads_none_ahead() -> None:
    read = []

    async def page(cursor: str | None) -> tuple[list[str], str | None]:
        read.append(cursor)
        number = int(cursor or 0)
        return ([f"{number}\r\n"], str(number + 1) if number < 3 else None)

    lines = csv_pages(["N"], page)
    assert await anext(lines) == "N\r\n"
    assert read == []
    assert await anext(lines) == "0\r\n"
    assert read == [None]
    assert [line async for line in lines] == ["1\r\n", "2\r\n", "3\r\n"]
    assert read == [None, "1", "2", "3"]


@pytest.mark.parametrize(("rows", "incomplete"), [(3, False), (4, True), (9, True)])
async def test_a_list_that_is_too_long_says_so_in_its_last_line(
    monkeypatch: pytest.MonkeyPatch, rows: int, incomplete: bool
) -> None:
    monkeypatch.setattr(csv_download, "ROWS_MAX", 3)

    async def page(cursor: str | None) -> tuple[list[str], str | None]:
        number = int(cursor or 0) + 1
        return ["x\r\n"], str(number) if number < rows else None

    text = "".join([line async for line in csv_pages(["N"], page)])
    assert text.count("x\r\n") == min(rows, 3)
    assert ("Incomplete: this list has more than 3 rows." in text) == incomplete


async def test_a_download_ends_if_the_api_keeps_sending_empty_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_download, "PAGES_MAX", 5)

    async def page(_: str | None) -> tuple[list[str], str | None]:
        return [], "again"

    text = "".join([line async for line in csv_pages(["N"], page)])
    assert "Incomplete" in text
