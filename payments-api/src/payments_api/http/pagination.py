"""Keyset cursors: where a page ended, signed, and bound to the list and its filters."""

import base64
import binascii
import hashlib
import hmac
import json

from payments_api.http.errors import InvalidCursor

SIGNATURE_BYTES = 16
CURSOR_MAX_CHARS = 1_000


class CursorSigner:
    """Makes and reads cursors; every replica must have the same key."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"payments cursor" + key.encode()).digest()

    def sign(self, scope: object, position: str) -> str:
        """A cursor for the list that `scope` (its name and filters, as JSON) describes."""
        raw = position.encode()
        return base64.urlsafe_b64encode(self._signature(scope, raw) + raw).decode().rstrip("=")

    def read(self, scope: object, cursor: str | None) -> str | None:
        """The position in the cursor; None without one. Raises InvalidCursor."""
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

    def _signature(self, scope: object, position: bytes) -> bytes:
        text = json.dumps(scope, sort_keys=True, default=str).encode()
        return hmac.digest(self._key, text + b"\0" + position, "sha256")[:SIGNATURE_BYTES]
