"""Migrations between releases: an older release on a newer schema."""

import shutil
from pathlib import Path

import pytest
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine

from payments_api import migrate as migrations
from payments_api.migrate import head_revision, migrate
from payments_core.db.schema_version import schema_problem
from testkit.command_line import CommandLine, database_in_messages

from .conftest import rows_of, schema_of

HEAD = head_revision()


@pytest.mark.parametrize("target", ["base", "0001"])
async def test_a_newer_releases_schema_is_left_alone(empty_url: str, target: str) -> None:
    await migrate(empty_url)
    await rows_of(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    before = await schema_of(empty_url)
    with pytest.raises(CommandError, match=r"9999, which this release does not know"):
        await migrate(empty_url, target)
    assert await schema_of(empty_url) == before


NEWER_REVISION = """\"\"\"A newer release's revision.\"\"\"

from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None
{bound}

def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN nickname text")


def downgrade() -> None:
    op.execute("ALTER TABLE payments DROP COLUMN nickname")
"""


async def _migrate_as_newer_release(url: str, folder: Path, bound: str = "") -> None:
    """Migrate with today's revisions and one more, as the next release would."""
    newer = folder / "migrations"
    shutil.copytree(migrations.SCRIPTS, newer)
    text = NEWER_REVISION.format(head=HEAD, bound=bound)
    (newer / "versions" / "r9999_newer.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "SCRIPTS", newer)
        assert await migrate(url) == "9999"


async def _service_problem(url: str) -> str | None:
    """Return what the services' readiness says about the schema."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            return await schema_problem(connection)
    finally:
        await engine.dispose()


async def test_an_older_release_works_on_a_newer_additive_schema(
    empty_url: str, command: CommandLine, tmp_path: Path
) -> None:
    await _migrate_as_newer_release(empty_url, tmp_path)
    before = await schema_of(empty_url)
    status, out, err = await command(DATABASE_URL=empty_url)
    assert (status, err) == (0, "")
    assert out == (
        f"the schema of {database_in_messages(empty_url)} is at revision 9999,"
        f" newer than this release's {HEAD}, which works on it\n"
    )
    assert await schema_of(empty_url) == before
    assert await _service_problem(empty_url) is None


async def test_a_contracting_revision_excludes_earlier_releases(
    empty_url: str, command: CommandLine, tmp_path: Path
) -> None:
    bound = 'oldest_compatible = "9998"\n'
    await _migrate_as_newer_release(empty_url, tmp_path, bound)
    status, out, err = await command(DATABASE_URL=empty_url)
    assert (status, out) == (1, "")
    assert err == (
        "migrate: the schema is at revision 9999, which needs a release of revision 9998 or newer;"
        f" this one is of {HEAD}: return to the newer release, or run its `payments-api migrate"
        f" {HEAD}` first (with make up you can also start anew: make reset, or another DATA_DIR)\n"
    )
    assert "needs a release of revision 9998" in str(await _service_problem(empty_url))


async def test_a_newer_schema_without_a_bound_is_rejected(
    empty_url: str, command: CommandLine
) -> None:
    await migrate(empty_url)
    await rows_of(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    await rows_of(empty_url, "COMMENT ON TABLE alembic_version IS NULL")
    status, _, err = await command(DATABASE_URL=empty_url)
    assert status == 1
    assert "needs a release of revision 9999" in err
    assert "needs a release of revision 9999" in str(await _service_problem(empty_url))
