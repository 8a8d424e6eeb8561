"""The filters of the list of payments, as parameters of its URL."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from payments_core.domain.statuses import COMPLETED, FAILED, OPEN_STATUSES
from payments_ui.payments.amounts import plain_amount
from payments_ui.web.formatting import ATTENTION
from payments_ui.web.forms import api_time, text_of, utc_minute

# The outcomes that badges and the filter show; "completed with a discrepancy" is one of its own.
OUTCOMES = (*OPEN_STATUSES, COMPLETED, "discrepancy", FAILED)
OLDEST_FIRST = "asc"


@dataclass(frozen=True)
class Filters:
    """Filters and order of the list of payments; an empty one does not apply."""

    account: str = ""
    status: str = ""
    currency: str = ""
    description: str = ""  # A part of the description.
    amount: str = ""  # As typed.
    start: str = ""  # Inclusive, UTC: "2026-11-22T20:00".
    end: str = ""  # Exclusive.
    order: str = ""

    @classmethod
    def read(cls, args: Mapping[str, str]) -> Self:
        """Read the filters of a URL; an unknown status or order is ignored."""
        status = text_of(args, "status")
        return cls(
            account=text_of(args, "account"),
            status=status if status in (*OUTCOMES, ATTENTION) else "",
            currency=text_of(args, "currency").upper(),
            description=text_of(args, "description"),
            amount=text_of(args, "amount"),
            start=utc_minute(text_of(args, "start")),
            end=utc_minute(text_of(args, "end")),
            order=OLDEST_FIRST if text_of(args, "order") == OLDEST_FIRST else "",
        )

    def __bool__(self) -> bool:
        """Whether any filter applies, whatever the order."""
        return any(value for name, value in asdict(self).items() if name != "order")

    @property
    def plain_amount(self) -> str:
        """The amount in the API's notation. Raises AmbiguousAmount."""
        return plain_amount(self.amount, self.currency)

    def api_filters(self) -> dict[str, str]:
        """Return the filters as parameters of GET /payments and its totals.

        Raises AmbiguousAmount.
        """
        params = {
            "accountId": self.account,
            "currency": self.currency,
            "description": self.description,
            "amount": self.plain_amount,
            "createdFrom": api_time(self.start),
            "createdTo": api_time(self.end),
            "discrepancy": "true" if self.status == "discrepancy" else "",
            "deadLetter": "true" if self.status == ATTENTION else "",
            "status": "" if self.status in ("discrepancy", ATTENTION) else self.status,
        }
        return {name: value for name, value in params.items() if value}

    def api_params(self) -> dict[str, str]:
        """Return filters and order as parameters of GET /payments."""
        return self.api_filters() | ({"order": self.order} if self.order else {})

    def query(self, **more: str) -> dict[str, str]:
        """Return the parameters of this page's URL, together with further ones."""
        return {name: value for name, value in (asdict(self) | more).items() if value}
