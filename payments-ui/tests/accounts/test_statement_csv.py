"""No cell of a statement is ever run as a formula."""

import csv
import io
from typing import cast

import pytest

from payments_ui.accounts.statement_csv import COLUMNS, csv_line, entry_line, safe_cell
from payments_ui.api.types import StatementEntry


@pytest.mark.parametrize(
    "hostile",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "-cmd|' /C'!A0"],
)
def test_what_a_spreadsheet_would_run_becomes_text(hostile: str) -> None:
    assert safe_cell(hostile) == f"'{hostile}"
    [[cell]] = csv.reader(io.StringIO(csv_line([hostile])))
    assert cell.startswith("'")


@pytest.mark.parametrize("harmless", ["-12.50", "100", "2026-11-22T21:18:22Z", "acct_1", ""])
def test_figures_and_names_stay_as_they_are(harmless: str) -> None:
    assert safe_cell(harmless) == harmless


def test_a_line_has_a_cell_for_each_column() -> None:
    # The statement shows more than the page reads.
    entry = cast(
        "StatementEntry",
        {
            "id": 2,
            "paymentId": "01a2051f-d591-75ab-80b2-72ff5c580dd0",
            "accountId": "sys:clearing:07",
            "currency": "USD",
            "entryType": "clearing",
            "direction": "debit",
            "amount": "12.13",
            "accountSeq": 1,
            "balanceAfter": "-12.13",
            "createdAt": "2026-11-22T21:18:22.144237Z",
            "reference": "+49-7",
            "source": "bank-1",
            "metadata": {"order": "é"},
        },
    )
    [row] = csv.reader(io.StringIO(entry_line(entry)))
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "Posted at (UTC)": "2026-11-22T21:18:22.144237Z",
        "Type": "clearing",
        "Debit": "12.13",
        "Credit": "",
        "Balance": "-12.13",
        "Currency": "USD",
        "Payment id": "01a2051f-d591-75ab-80b2-72ff5c580dd0",
        "Entry number": "1",
        "Reference": "'+49-7",
        "Source": "bank-1",
        "Metadata": '{"order": "é"}',
    }
