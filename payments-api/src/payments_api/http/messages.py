"""HTTP messages without a framework: the header fields of a request."""

from collections.abc import Iterable, Mapping

JSON_TYPE = "application/json"

HeaderFields = Mapping[bytes, bytes]


def header_fields(pairs: Iterable[tuple[bytes, bytes]]) -> HeaderFields:
    """Return an ASGI scope's headers by name, values of a repeated field joined by commas.

    Source: RFC 9110, 5.3.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in pairs:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def header_text(fields: HeaderFields, name: bytes) -> str | None:
    """Return the field's value as text, or None without such a field."""
    value = fields.get(name)
    return None if value is None else value.decode("latin-1")
