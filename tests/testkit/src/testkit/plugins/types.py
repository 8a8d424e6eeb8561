"""Ask Postgres for its own types once in a run of the tests, not anew on each connection.

asyncpg asks for each array type that a connection meets, by a query that takes five milliseconds: a
twentieth of the processor time of the tests that use a database.
"""

from collections.abc import Iterable
from typing import Any

from asyncpg.connection import Connection

FIRST_OID_OF_A_DATABASE = 16_384  # A lower number is Postgres' own type, the same on each server.
_ask = Connection._introspect_types  # type: ignore[attr-defined]  # Private.
_answers: dict[frozenset[int], Any] = {}


async def _ask_once(self: Any, typeoids: Iterable[int], seconds_max: float) -> Any:
    oids = frozenset(typeoids)
    if max(oids) >= FIRST_OID_OF_A_DATABASE:
        return await _ask(self, oids, seconds_max)
    if oids not in _answers:
        _answers[oids] = await _ask(self, oids, seconds_max)
    return _answers[oids]


def pytest_configure() -> None:
    """Replace asyncpg's private method; if a release renames it, this fails by name."""
    Connection._introspect_types = _ask_once  # type: ignore[attr-defined]
