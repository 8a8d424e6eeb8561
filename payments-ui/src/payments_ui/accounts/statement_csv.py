"""An account's statement as CSV that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable

from payments_ui.api.client import ApiClient
from payments_ui.api.types import LedgerEntry

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
)
_NUMBER = re.compile(r"\A-?\d+(\.\d+)?\Z")


def safe_cell(value: object) -> str:
    """The value as a spreadsheet shows it and never runs it (OWASP: CSV injection)."""
    text = str(value)
    risky = text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}
    return f"'{text}" if risky and not _NUMBER.match(text) else text


def csv_line(cells: Iterable[object]) -> str:
    """One line, quoted as RFC 4180 asks."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return line.getvalue()


def entry_line(entry: LedgerEntry) -> str:
    """One posting as a line."""
    credit = entry["direction"] == "credit"
    return csv_line(
        (
            entry["createdAt"],
            entry["entryType"],
            "" if credit else entry["amount"],
            entry["amount"] if credit else "",
            entry["balanceAfter"],
            entry["currency"],
            entry.get("paymentId", ""),
            entry["accountSeq"],
        )
    )


async def statement_lines(client: ApiClient, account_id: str, currency: str) -> AsyncIterator[str]:
    """The whole statement, newest first, page by page.

    An error of the API on the way is raised, so that the download breaks off visibly.
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
