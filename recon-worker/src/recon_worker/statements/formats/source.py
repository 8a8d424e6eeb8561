"""The bytes of a file, read in blocks of one size, however the stream delivers them."""

from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 64 * 1024
DETECTION_BYTES = 16 * 1024  # Enough for a prologue, a comment and the first rows.


class Source:
    """A stream with its beginning visible before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._head = b""

    def peek(self, size: int) -> bytes:
        """Return the first bytes, up to size of them, without consuming them."""
        while len(self._head) < size and (more := self._stream.read(size - len(self._head))):
            self._head += more
        return self._head[:size]

    def blocks(self) -> Iterator[bytes]:
        """Yield the file in blocks of BLOCK_BYTES; only the last one may be shorter."""
        block, self._head = self._head, b""
        while more := self._stream.read(BLOCK_BYTES):
            block += more
            while len(block) >= BLOCK_BYTES:
                yield block[:BLOCK_BYTES]
                block = block[BLOCK_BYTES:]
        if block:
            yield block
