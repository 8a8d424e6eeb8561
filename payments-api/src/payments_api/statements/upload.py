"""The upload of a file: its path, its limit, and its body as it arrives."""

from collections.abc import AsyncIterator

from quart import Request

from payments_api.http.errors import RequestTooSlow
from payments_core.http import uploads

UPLOAD_PATH = "/statements"
UPLOADS_MAX = 4  # At once in one process: each holds a connection to the database for moments.


async def streamed_body(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of an upload as it arrives. Raises RequestTooSlow."""
    try:
        async for piece in uploads.streamed_body(request):
            yield piece
    except TimeoutError:
        raise RequestTooSlow("Send the file without pauses, within an hour.") from None
