"""Strict reading of JSON bodies: exact numbers, no duplicate names, one object."""

import asyncio
import contextlib
import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header

from payments_api.http.errors import MalformedJson, RequestTooSlow, UnsupportedMediaType
from payments_api.http.messages import JSON_TYPE, HeaderFields, header_fields, header_text
from payments_core.http.problems import PayloadTooLarge

BODY_MAX_BYTES = 64 * 1024
BATCH_BODY_MAX_BYTES = 1024 * 1024
BODY_SECONDS_MAX = 10
DISCARD_SECONDS_MAX = 0.5
NUMBER_MAX_CHARS = 400  # More than any exact amount needs; Python's int() stops at 4,300.


async def read_json_object(request: Request) -> dict[str, Any]:
    """Return the body as a dict whose numbers are int or Decimal, never float.

    Raises PayloadTooLarge, RequestTooSlow, UnsupportedMediaType, MalformedJson.
    """
    body = await read_body(request, BODY_MAX_BYTES)
    return parse_json_body(header_fields(request.scope["headers"]), body)


def parse_json_body(fields: HeaderFields, body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object in a body whose header fields say that it is JSON.

    Raises UnsupportedMediaType, MalformedJson.
    """
    content_type = header_text(fields, b"content-type")
    if content_type != JSON_TYPE:
        _check_json_type(content_type or "")
    if fields.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType("Send the body without a content encoding.")
    return parse_json_object(body)


def _check_json_type(content_type: str) -> None:
    media_type, options = parse_options_header(content_type)
    if media_type.lower() != JSON_TYPE:
        raise UnsupportedMediaType('Send the header "Content-Type: application/json".')
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("Send the body as UTF-8.")


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body. Raises PayloadTooLarge, RequestTooSlow.

    The bytes are counted as they arrive: Content-Length may be missing or wrong.
    """
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.body:
                raw += chunk
                if len(raw) > max_bytes:
                    break
    except RequestEntityTooLarge:
        raw = bytearray(max_bytes + 1)
    except TimeoutError:
        raise RequestTooSlow(f"Send the body within {BODY_SECONDS_MAX} seconds.") from None
    if len(raw) > max_bytes:
        raise PayloadTooLarge(f"Send at most {max_bytes} bytes.")
    return bytes(raw)


async def discard_body(request: Request) -> None:
    """Read a short body that has arrived, so that a refusal need not close the connection."""
    taken = 0
    with contextlib.suppress(RequestEntityTooLarge, TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS_MAX):
            async for chunk in request.body:
                taken += len(chunk)
                if taken > BODY_MAX_BYTES:
                    return


def parse_json_object(raw: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object in these bytes. Raises MalformedJson."""
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedJson("The body is nested too deeply.") from None
    except ValueError as error:
        raise MalformedJson(str(error)[:200]) from None
    if not isinstance(value, dict):
        raise MalformedJson("The body must be a JSON object.")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("The body names a field twice.")
    return fields


def _exact_number(text: str) -> Decimal:
    if len(text) > NUMBER_MAX_CHARS:
        raise ValueError("The body has a number with too many digits.")
    try:
        return Decimal(text)
    except InvalidOperation:
        # The exponent exceeds Decimal's own range: the field's parser rejects NaN by name.
        return Decimal("NaN")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_float=_exact_number,
    parse_int=_exact_number,
    parse_constant=_refuse_constant,
)
