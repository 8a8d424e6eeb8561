"""An account's statement as CSV."""

from collections.abc import AsyncIterator

from payments_ui.api.client import ApiClient
from payments_ui.api.types import StatementEntry
from payments_ui.web.csv_download import PAGE_ROWS, csv_line, csv_pages, metadata_cell

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
            entry["paymentId"] or "",
            entry["accountSeq"],
            entry["reference"] or "",
            entry["source"] or "",
            metadata_cell(entry["metadata"]),
        )
    )


def statement_lines(client: ApiClient, account_id: str, currency: str) -> AsyncIterator[str]:
    """Yield the whole statement, newest first, page by page."""

    async def page(cursor: str | None) -> tuple[list[str], str | None]:
        answer = await client.entries(
            account_id, {"currency": currency, "limit": PAGE_ROWS, "cursor": cursor}
        )
        return [entry_line(entry) for entry in answer["entries"]], answer["nextCursor"]

    return csv_pages(COLUMNS, page)
