"""The stored bytes of a file as the stream that a reader reads, one chunk in memory."""

import asyncio
import hashlib
import io
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.statements.files import FileDamaged, read_chunk

FETCH_SECONDS_MAX = 60.0  # For one chunk; the statement's own timeout ends it sooner.


class StoredFile(io.RawIOBase):
    """A file's bytes, read in a thread while the event loop, which waits, fetches the chunks.

    `advance` is called with the bytes of each chunk. Raises FileDamaged.
    """

    def __init__(
        self, tx: AsyncConnection, file: AnyRow, advance: Callable[[int], None] = lambda by: None
    ) -> None:
        super().__init__()
        self._tx, self._file, self._advance = tx, file, advance
        self._loop = asyncio.get_running_loop()
        self._chunk = memoryview(b"")
        self._number = 0
        self._digest = hashlib.sha256()
        self._at_end = self._stopped = False

    def stop(self) -> None:
        """Let the next fetch fail, so that the thread ends."""
        self._stopped = True

    def readable(self) -> bool:
        """Return True: the stream is for reading."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer with the next bytes; return their number, 0 at the end."""
        into = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # Any buffer.
        if not self._chunk and not self._at_end:
            self._fetch()
        size = min(len(into), len(self._chunk))
        into[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size

    def drain(self) -> None:
        """Read to the end, which a reader need not have reached, so that the hash is checked."""
        while not self._at_end:
            self._fetch()

    def _fetch(self) -> None:
        if self._stopped:
            raise InterruptedError("the reading was stopped")
        fetching = read_chunk(self._tx, self._file.id, self._number)
        data = asyncio.run_coroutine_threadsafe(fetching, self._loop).result(FETCH_SECONDS_MAX)
        self._number += 1
        self._digest.update(data)
        self._chunk = memoryview(data)
        self._advance(len(data))
        if not data:
            self._at_end = True
            if self._digest.digest() != self._file.sha256:
                raise FileDamaged(FileDamaged.__doc__)
