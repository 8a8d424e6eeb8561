"""The stored bytes of a file as the stream that a reader reads, two chunks in memory."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import Future

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.statements.files import FileDamaged, read_chunk

FETCH_SECONDS_MAX = 60.0  # For one chunk; the statement's own timeout ends it sooner.


class StoredFile(io.RawIOBase):
    """A file's bytes, read in a thread while the event loop fetches the next chunk.

    `advance` is called with the bytes of each chunk. Raises FileDamaged.
    """

    def __init__(
        self, tx: AsyncConnection, file: AnyRow, advance: Callable[[int], None] = lambda by: None
    ) -> None:
        super().__init__()
        self._tx, self._file, self._advance = tx, file, advance
        self.tx_in_use = asyncio.Lock()  # Held for each use: a connection does one thing at a time.
        self._loop = asyncio.get_running_loop()
        self._chunk = memoryview(b"")
        self._number = 0
        self._coming: Future[bytes] | None = None
        self._digest = hashlib.sha256()
        self._at_end = False

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

    async def settle(self) -> None:
        """Wait until no chunk is on its way: the connection is free."""
        if self._coming is not None:
            await asyncio.gather(asyncio.wrap_future(self._coming), return_exceptions=True)

    def _fetch(self) -> None:
        coming = self._coming or self._request()
        data = coming.result(FETCH_SECONDS_MAX)
        self._coming = self._request() if data else None
        self._digest.update(data)
        self._chunk = memoryview(data)
        self._advance(len(data))
        if not data:
            self._at_end = True
            if self._digest.digest() != self._file.sha256:
                raise FileDamaged(FileDamaged.__doc__)

    def _request(self) -> Future[bytes]:
        number, self._number = self._number, self._number + 1
        return asyncio.run_coroutine_threadsafe(self._chunk_of(number), self._loop)

    async def _chunk_of(self, number: int) -> bytes:
        async with self.tx_in_use:
            return await read_chunk(self._tx, self._file.id, number)
