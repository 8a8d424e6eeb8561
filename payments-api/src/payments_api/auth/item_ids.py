"""Ids of lines, entries, matches and runs: numbers across all tenants, which a tenant never sees.

A key without a tenant knows an item by its number, as the commands do. A tenant's key knows it by
a token that only the API can read: see docs/decisions/0037-item-ids.md.
"""

from dataclasses import dataclass

from payments_api.auth.middleware import caller
from payments_api.http.errors import InvalidCursor
from payments_api.http.pagination import CursorSigner
from payments_api.services import services

NUMBER_MAX = 2**63 - 1
ITEM_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"


@dataclass(frozen=True, slots=True)
class ItemIds:
    """Translates between the numbers of items and the ids that a tenant knows them by."""

    cursors: CursorSigner
    tenant: str | None

    def shown(self, kind: str, number: int) -> str:
        """Return the id of the item with this number."""
        if self.tenant is None:
            return str(number)
        return self.cursors.sign_hidden(self._scope(kind), number)

    def number(self, kind: str, text: str) -> int | None:
        """Return the number of the item with this id, or None if there is no such id."""
        if self.tenant is not None:
            try:
                return self.cursors.read_hidden(self._scope(kind), text)
            except InvalidCursor:
                return None
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or text[0] == "0":
            return None
        return int(text) if int(text) <= NUMBER_MAX else None

    def _scope(self, kind: str) -> dict[str, str | None]:
        return {"id": kind, "tenant": self.tenant}


def item_ids() -> ItemIds:
    """Return the ids as the sender of the current request knows them."""
    return ItemIds(services().cursors, caller().tenant)
