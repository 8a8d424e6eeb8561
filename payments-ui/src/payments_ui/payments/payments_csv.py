"""A list of payments as CSV."""

from collections.abc import AsyncIterator

from payments_ui.api.client import ApiClient
from payments_ui.api.types import Payment
from payments_ui.payments.filters import Filters
from payments_ui.web.csv_download import PAGE_ROWS, csv_line, csv_pages, metadata_cell

COLUMNS = (
    "Created at (UTC)",
    "Settled at (UTC)",
    "Status",
    "Amount",
    "Currency",
    "Discrepancy",
    "Account",
    "Description",
    "Reference",
    "Source",
    "Metadata",
    "Payment id",
)


def payment_line(payment: Payment) -> str:
    """Return one payment as a line."""
    return csv_line(
        (
            payment["createdAt"],
            payment["settledAt"] or "",
            payment["status"],
            payment["amount"],
            payment["currency"],
            payment["discrepancyAmount"] or "",
            payment["accountId"],
            payment["description"],
            payment["reference"] or "",
            payment["source"],
            metadata_cell(payment["metadata"]),
            payment["id"],
        )
    )


def payment_lines(client: ApiClient, filters: Filters) -> AsyncIterator[str]:
    """Yield the whole list, in its order, page by page."""

    async def page(cursor: str | None) -> tuple[list[str], str | None]:
        params = {**filters.api_params(), "limit": PAGE_ROWS, "cursor": cursor}
        answer = await client.payments(params)
        return [payment_line(each) for each in answer["payments"]], answer["nextCursor"]

    return csv_pages(COLUMNS, page)
