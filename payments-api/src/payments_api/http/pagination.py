"""Keyset paging: one kit for every list, with signed cursors bound to the list and its filters."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from payments_api.http.errors import InvalidCursor
from payments_api.http.query_params import Query

SIGNATURE_BYTES = 16
CURSOR_MAX_CHARS = 1_000

KeyT = TypeVar("KeyT")


class CursorSigner:
    """Signs and verifies cursors; every replica must have the same key."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"payments cursor" + key.encode()).digest()

    def sign(self, scope: Mapping[str, Any], position: str) -> str:
        """Return a cursor for a position in the list that `scope` describes."""
        raw = position.encode()
        return base64.urlsafe_b64encode(self._signature(scope, raw) + raw).decode().rstrip("=")

    def read(self, scope: Mapping[str, Any], cursor: str | None) -> str | None:
        """Return the position in a cursor, or None without one. Raises InvalidCursor."""
        if cursor is None:
            return None
        try:
            if len(cursor) > CURSOR_MAX_CHARS:
                raise InvalidCursor
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            signature, position = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, self._signature(scope, position)):
                raise InvalidCursor
            # The encoding has spare bits: one position must have one spelling.
            if self.sign(scope, position.decode()) != cursor:
                raise InvalidCursor
            return position.decode()
        except (InvalidCursor, binascii.Error, ValueError):
            raise InvalidCursor("Start again without a cursor.") from None

    def _signature(self, scope: Mapping[str, Any], position: bytes) -> bytes:
        # Canonical JSON of what narrows the list. An absent filter leaves no trace, so a release
        # that adds one still accepts the cursors of the release before.
        narrowing = {name: value for name, value in scope.items() if value is not None}
        text = json.dumps(narrowing, sort_keys=True, separators=(",", ":")).encode()
        return hmac.digest(self._key, text + b"\0" + position, "sha256")[:SIGNATURE_BYTES]


class Page(Generic[KeyT]):
    """One requested page of a named list, newest first, from below the key `before`.

    `filters` are what its cursors are bound to; `column` is the keyset's, `parse` reads its value.
    """

    def __init__(
        self,
        cursors: CursorSigner,
        query: Query,
        name: str,
        parse: Callable[[str], KeyT],
        filters: Mapping[str, str | None] | None = None,
        column: str = "id",
    ) -> None:
        self._cursors = cursors
        self._scope = {"list": name, **(filters or {})}
        self._column = column
        self._limit = query.limit()
        position = cursors.read(self._scope, query.text("cursor"))
        self.before = None if position is None else parse(position)

    @property
    def fetch_limit(self) -> int:
        """The number of rows to fetch: one more than shown tells whether a next page exists."""
        return self._limit + 1

    def as_json(
        self, name: str, rows: Sequence[Any], row_json: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the page's rows under `name`, and the cursor of the next page."""
        shown, cursor = rows[: self._limit], None
        if len(rows) > self._limit:
            cursor = self._cursors.sign(self._scope, str(getattr(shown[-1], self._column)))
        return {name: [row_json(row) for row in shown], "nextCursor": cursor}
