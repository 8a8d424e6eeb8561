"""Ask Postgres for its own types once in a run of the tests, not anew on each connection.

asyncpg asks for each array type that a connection meets, by a query that takes five milliseconds: a
twentieth of the processor time of the tests that use a database.
"""

from collections.abc import Iterable
from typing import Any

from asyncpg.connection import Connection

UNPINNED_OID_MIN = 10_000  # A lower number means the same type on each server, of any release.
_ask = Connection._introspect_types  # type: ignore[attr-defined]  # Private.
_answers: dict[frozenset[int], Any] = {}


async def _ask_once(self: Any, typeoids: Iterable[int], seconds_max: float) -> Any:
    oids = frozenset(typeoids)
    if max(oids) >= UNPINNED_OID_MIN:
        return await _ask(self, oids, seconds_max)
    if oids not in _answers:
        _answers[oids] = await _ask(self, oids, seconds_max)
    return _answers[oids]


def pytest_configure() -> None:
    """Replace asyncpg's private method; if a release renames it, this fails by name."""
    Connection._introspect_types = _ask_once  # type: ignore[attr-defined]
