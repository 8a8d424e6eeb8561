"""A revision builds an index of a large table only if that was done beforehand, as it says."""

import re

import asyncpg
import pytest

from payments_api.migrations.versions import r0030_undone_legs as revision
from testkit.database.sql import Sql


async def test_the_statement_that_a_revision_names_lets_it_pass(sql: Sql) -> None:
    beforehand = revision.refuse_to_block(-1)  # Every table is larger.
    built = await sql.fetchval("SELECT pg_get_indexdef($1::text::regclass)", revision.NAME)
    await sql.execute(beforehand)
    await sql.execute(f"DROP INDEX {revision.NAME}")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as refusal:
        await sql.execute(beforehand)
    statement = re.search("CREATE INDEX CONCURRENTLY .*", str(refusal.value))
    assert statement, refusal.value
    await sql.execute(statement[0])
    await sql.execute(beforehand)
    assert built == await sql.fetchval("SELECT pg_get_indexdef($1::text::regclass)", revision.NAME)
