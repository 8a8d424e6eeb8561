"""The upload of a file: its path, its limit, and its body as it arrives."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from quart import Request
from werkzeug.http import parse_options_header

from payments_api.http.errors import (
    Overloaded,
    RequestTooSlow,
    StorageFull,
    UnsupportedMediaType,
)
from payments_core.db.engine import sqlstate_of
from payments_core.http import uploads

UPLOAD_PATH = "/statements"
DISK_FULL = "53100"
UPLOADS_MAX = 4  # At once in one process: each holds a connection to the database for moments.
UPLOADS_OF_ONE_MAX = 2  # Of one tenant, and of all keys without one: others always find a place.

_uploading: Counter[str | None] = Counter()


@contextmanager
def place_for(tenant: str | None) -> Iterator[None]:
    """Hold one of the places of uploads while the body arrives. Raises Overloaded.

    A slow sender must not keep others, nor payments, from the database's connections.
    """
    if _uploading[tenant] >= UPLOADS_OF_ONE_MAX or _uploading.total() >= UPLOADS_MAX:
        raise Overloaded("Too many files are being uploaded.")
    _uploading[tenant] += 1
    try:
        yield
    finally:
        _uploading[tenant] -= 1
        if not _uploading[tenant]:
            del _uploading[tenant]


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Tell the sender of a file that the database has no space for it. Raises StorageFull."""
    try:
        yield
    except Exception as error:
        if sqlstate_of(error) != DISK_FULL:
            raise
        raise StorageFull from None


def check_is_plain(request: Request) -> None:
    """Refuse a body that is not the file's bytes themselves. Raises UnsupportedMediaType."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the file without a content encoding.")
    media_type, _ = parse_options_header(request.headers.get("Content-Type", ""))
    if media_type.lower().startswith("multipart/"):
        raise UnsupportedMediaType("Send the file's bytes as the body, not as a form.")


async def streamed_body(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of an upload as it arrives. Raises RequestTooSlow."""
    try:
        async for piece in uploads.streamed_body(request):
            yield piece
    except TimeoutError:
        raise RequestTooSlow("Send the file without pauses, within an hour.") from None
