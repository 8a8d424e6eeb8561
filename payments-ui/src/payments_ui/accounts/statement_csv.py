"""An account's statement as CSV, safe from formula injection."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterable

from payments_ui.api.client import ApiClient
from payments_ui.api.types import StatementEntry

PAGE_ENTRIES = 200  # The API's own limit for one page.
ENTRIES_MAX = 200_000  # Fits a spreadsheet, and bounds one download's work.
COLUMNS = (
    "Posted at (UTC)",
    "Type",
    "Debit",
    "Credit",
    "Balance",
    "Currency",
    "Payment id",
    "Entry number",
    "Reference",
    "Source",
    "Metadata",
)
_NUMBER = re.compile(r"\A-?\d+(\.\d+)?\Z")


def safe_cell(value: object) -> str:
    """Return text that a spreadsheet shows and does not run (OWASP: CSV injection)."""
    text = str(value)
    risky = text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}
    return f"'{text}" if risky and not _NUMBER.match(text) else text


def csv_line(cells: Iterable[object]) -> str:
    """Return one line, quoted by RFC 4180."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return line.getvalue()


def entry_line(entry: StatementEntry) -> str:
    """Return one entry as a line."""
    credit = entry["direction"] == "credit"
    return csv_line(
        (
            entry["createdAt"],
            entry["entryType"],
            "" if credit else entry["amount"],
            entry["amount"] if credit else "",
            entry["balanceAfter"],
            entry["currency"],
            entry["paymentId"],
            entry["accountSeq"],
            entry["reference"] or "",
            entry["source"],
            json.dumps(entry["metadata"], ensure_ascii=False) if entry["metadata"] else "",
        )
    )


async def statement_lines(client: ApiClient, account_id: str, currency: str) -> AsyncIterator[str]:
    """Yield the whole statement, newest first, page by page.

    An error of the API ends the download visibly: it is raised.
    """
    yield csv_line(COLUMNS)
    cursor: str | None = None
    for _ in range(ENTRIES_MAX // PAGE_ENTRIES):
        page = await client.entries(
            account_id, {"currency": currency, "limit": PAGE_ENTRIES, "cursor": cursor}
        )
        yield "".join(entry_line(entry) for entry in page["entries"])
        cursor = page["nextCursor"]
        if not cursor:
            return
