"""A statement has a line for each entry."""

import csv
import io
from typing import cast

from payments_ui.accounts.statement_csv import COLUMNS, entry_line
from payments_ui.api.types import StatementEntry


def test_a_line_has_a_cell_for_each_column() -> None:
    # The API's statement has more fields than the page reads.
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


def test_an_adjustment_of_no_payment_has_empty_cells() -> None:
    entry = cast(
        "StatementEntry",
        {
            "paymentId": None,
            "currency": "EUR",
            "entryType": "adjustment",
            "direction": "credit",
            "amount": "1.50",
            "accountSeq": 1,
            "balanceAfter": "1.50",
            "createdAt": "2026-11-22T21:18:22.144237Z",
            "reference": None,
            "source": None,
            "metadata": {},
        },
    )
    assert "None" not in entry_line(entry)
