"""The schema's metadata and helpers for tables and their queries."""

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import BindParameter, Column, DateTime, MetaData, bindparam, func

_Value = TypeVar("_Value", str, int)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(constraint_name)s",
    }
)


def one_of(column: str, values: Iterable[str]) -> str:
    """Return SQL that is true if the column holds one of these values, which code defines."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({quoted})"


def constant(value: _Value) -> BindParameter[_Value]:
    """Return a value that is written into the statement instead of being a parameter.

    A generic plan cannot use an index that is partial by this value, and estimates a tenth of the
    table for any LIMIT. Each value makes its own statement, so use it for few values only.
    """
    return bindparam(None, value, unique=True, literal_execute=True)


def timestamp(name: str, *, default_now: bool = False) -> Column[object]:
    """Return a timestamptz column: NOT NULL if it defaults to now(), else nullable."""
    if default_now:
        return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())
    return Column(name, DateTime(timezone=True))
