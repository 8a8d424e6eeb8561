"""The type of the fixture `sql`, the connection with which tests read and change the database."""

from typing import Any, TypeAlias

import asyncpg

Sql: TypeAlias = "asyncpg.Connection[Any]"
