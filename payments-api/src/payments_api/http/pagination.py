"""Keyset paging: one kit for every list, with signed cursors bound to the list and its filters."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from payments_api.http.errors import InvalidCursor
from payments_api.http.query_params import Query
from payments_core.db.keyset import BACKWARD, KeyT, Walk

SIGNATURE_BYTES = 16
NONCE_BYTES, NONCE_CHARS = 9, 12  # Nine bytes are twelve characters of base64.
CURSOR_MAX_CHARS = 1_000
ASCENDING, DESCENDING = ORDERS = ("asc", "desc")


class CursorSigner:
    """Signs and verifies cursors; every replica must have the same key."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"payments cursor" + key.encode()).digest()

    def sign(self, scope: Mapping[str, Any], position: str) -> str:
        """Return a cursor for a position in the list that `scope` describes.

        It shows the position to its reader; `sign_hidden` does not.
        """
        raw = position.encode()
        return base64.urlsafe_b64encode(self._signature(scope, raw) + raw).decode().rstrip("=")

    def sign_hidden(self, scope: Mapping[str, Any], position: int) -> str:
        """Return a cursor for a number from 0 to 2^63 - 1 that only this key can read."""
        text = f"{position:019}"
        signature = self._signature(scope, text.encode())
        hidden = self._mask(signature, position)
        return base64.urlsafe_b64encode(signature + hidden.to_bytes(8)).decode()

    def read_hidden(self, scope: Mapping[str, Any], cursor: str) -> int:
        """Return the position in a hidden cursor. Raises InvalidCursor."""
        try:
            raw = base64.b64decode(cursor[:CURSOR_MAX_CHARS], altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        signature, hidden = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        position = self._mask(signature, int.from_bytes(hidden[:8]))
        if not 0 <= position < 2**63 or not hmac.compare_digest(
            self.sign_hidden(scope, position).encode(), cursor.encode()
        ):
            raise InvalidCursor("Start again without a cursor.")
        return position

    def sign_unlinkable(self, scope: Mapping[str, Any], position: int) -> str:
        """Return a hidden cursor that differs each time, so that equal positions do not show."""
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        return nonce + self.sign_hidden({**scope, "nonce": nonce}, position)

    def read_unlinkable(self, scope: Mapping[str, Any], cursor: str) -> int:
        """Return the position in an unlinkable cursor. Raises InvalidCursor."""
        nonce, hidden = cursor[:NONCE_CHARS], cursor[NONCE_CHARS:]
        return self.read_hidden({**scope, "nonce": nonce}, hidden)

    def _mask(self, signature: bytes, number: int) -> int:
        """Return the number under a mask that the signature selects; its own inverse.

        The signature depends on the whole text, so two numbers share no mask: as in SIV, RFC 5297.
        """
        mask = hmac.digest(self._key, b"mask" + signature, "sha256")[:8]
        return number ^ int.from_bytes(mask)

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
        # Canonical JSON of the filters. An absent filter leaves no trace, so a release
        # that adds one still accepts the cursors of the release before.
        narrowing = {name: value for name, value in scope.items() if value is not None}
        text = json.dumps(narrowing, sort_keys=True, separators=(",", ":")).encode()
        return hmac.digest(self._key, text + b"\0" + position, "sha256")[:SIGNATURE_BYTES]


class Page(Generic[KeyT]):
    """One requested page of a named list, with a cursor to either side.

    its cursors are bound to `filters`; `column` is the keyset's, `parse` reads its value.
    Where the query has an `order`, the client may choose it. Statements read along `walk` and
    return the rows so.
    """

    def __init__(
        self,
        cursors: CursorSigner,
        query: Query,
        name: str,
        parse: Callable[[str], KeyT],
        filters: Mapping[str, str | None] | None = None,
        column: str = "id",
        default_order: str = DESCENDING,
    ) -> None:
        order = query.choice("order", ORDERS) or default_order
        chosen = {"order": None if order == default_order else order}
        self._cursors = cursors
        self._scope = {"list": name, **(filters or {}), **chosen}
        self._column = column
        self._limit = query.limit()
        position = self._read(query.text("cursor")) or ""
        self._start = position.removeprefix(BACKWARD) or None
        self.walk: Walk[KeyT] = Walk(
            None if self._start is None else parse(self._start),
            backward=position.startswith(BACKWARD),
            list_descends=order == DESCENDING,
        )

    @property
    def fetch_limit(self) -> int:
        """The number of rows to fetch: one more than shown tells whether a next page exists."""
        return self._limit + 1

    def as_json(
        self,
        name: str,
        rows: Sequence[Any],
        row_json: Callable[[Any], dict[str, Any]],
        stopped_at: str | None = None,
    ) -> dict[str, Any]:
        """Return the page's rows under `name`, and the cursors of the pages beside it.

        `stopped_at` is the key at which the search for a full page was given up, if it was.
        """
        shown, backward, onward = rows[: self._limit], self.walk.backward, stopped_at
        if len(rows) > self._limit:
            # A backward page includes its start: the key of the first row that this one leaves out.
            onward = self._key(rows[self._limit] if backward else shown[-1])
        previous, following = (onward, self._start) if backward else (self._start, onward)
        if backward:
            shown = shown[::-1]
        return {
            name: [row_json(row) for row in shown],
            "nextCursor": self._sign(following),
            "previousCursor": self._sign(previous and BACKWARD + previous),
        }

    def _read(self, cursor: str | None) -> str | None:
        return self._cursors.read(self._scope, cursor)

    def _key(self, row: Any) -> str:
        return str(getattr(row, self._column))

    def _sign(self, position: str | None) -> str | None:
        return None if position is None else self._cursors.sign(self._scope, position)


class HiddenPage(Page[int]):
    """A page of a list by a number across all tenants, which its cursors hide.

    `key` returns a row's number.
    """

    def __init__(
        self,
        cursors: CursorSigner,
        query: Query,
        name: str,
        filters: Mapping[str, str | None] | None = None,
        key: Callable[[Any], int] = lambda row: int(row.id),
        default_order: str = DESCENDING,
    ) -> None:
        self._number = key
        super().__init__(cursors, query, name, int, filters, default_order=default_order)

    def _read(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        try:
            return str(self._cursors.read_hidden(self._scope, cursor))
        except InvalidCursor:
            number = self._cursors.read_hidden({**self._scope, "backward": True}, cursor)
            return f"{BACKWARD}{number}"

    def _key(self, row: Any) -> str:
        return str(self._number(row))

    def _sign(self, position: str | None) -> str | None:
        if position is None:
            return None
        backward = {"backward": True} if position.startswith(BACKWARD) else {}
        number = int(position.removeprefix(BACKWARD))
        return self._cursors.sign_hidden({**self._scope, **backward}, number)
