"""Parsing of a payment's reference, metadata and source."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from payments_core.domain.payments import (
    DEFAULT_SOURCE,
    METADATA_KEY_MAX_CHARS,
    METADATA_KEYS_MAX,
    METADATA_MAX_BYTES,
    METADATA_VALUE_MAX_CHARS,
    NO_METADATA,
    REFERENCE_MAX_CHARS,
    is_reference,
    is_source,
    metadata_text,
)

UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Errors = list[dict[str, str]]


def reference_in(body: Mapping[str, Any], errors: Errors) -> str | None:
    """Return the reference, or None without one; add what is wrong with it to `errors`."""
    value = body.get("reference")
    if value is None and "reference" not in body:
        return None
    if isinstance(value, str) and is_reference(value):
        return value
    detail = (
        f"must be a string of 1 to {REFERENCE_MAX_CHARS} of the characters A-Z a-z 0-9"
        " / - ? : ( ) . , ' + and space, without a slash or space at an end and without //"
    )
    errors.append({"field": "reference", "detail": detail})
    return None


def metadata_in(body: Mapping[str, Any], errors: Errors) -> str:
    """Return the metadata as its one text; add what is wrong with it to `errors`."""
    if "metadata" not in body:
        return NO_METADATA
    detail = _metadata_problem(body["metadata"])
    if detail is None:
        text = metadata_text(body["metadata"])
        if len(text.encode()) <= METADATA_MAX_BYTES:
            return text
        detail = f"must have at most {METADATA_MAX_BYTES} bytes as JSON in UTF-8"
    errors.append({"field": "metadata", "detail": detail})
    return NO_METADATA


def source_in(body: Mapping[str, Any], errors: Errors) -> str:
    """Return the source; add what is wrong with it to `errors`."""
    value = body.get("source", DEFAULT_SOURCE)
    if isinstance(value, str) and is_source(value):
        return value
    detail = "must be 1 to 32 of a-z, 0-9 and -, and must not begin with -"
    errors.append({"field": "source", "detail": detail})
    return DEFAULT_SOURCE


def _metadata_problem(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be an object with strings as values"
    if len(value) > METADATA_KEYS_MAX:
        return f"must have at most {METADATA_KEYS_MAX} keys"
    seen: dict[str, str] = {}
    for key, text in value.items():
        if not 1 <= len(key) <= METADATA_KEY_MAX_CHARS:
            return f"must have keys of 1 to {METADATA_KEY_MAX_CHARS} characters"
        if not isinstance(text, str):
            return f"must have a string as the value of {key!r:.50}"
        if len(text) > METADATA_VALUE_MAX_CHARS:
            return f"must have values of at most {METADATA_VALUE_MAX_CHARS} characters"
        if UNSTORABLE.search(key) or UNSTORABLE.search(text):
            return "must not contain NUL or an unpaired surrogate"
        # Readers that fold case or Unicode forms would see one of two such keys.
        twin = seen.setdefault(_folded(key), key)
        if twin != key:
            return f"must not have the keys {twin!r} and {key!r}: they differ only in form"
    return None


def _folded(key: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", key).casefold())
