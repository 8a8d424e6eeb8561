"""Rules for schema revisions: they add, without stopping or breaking the running release."""

import io
import re

import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory

from payments_api.migrate import _config

# Written before the first release, so no older code ran on them.
OF_THE_FIRST_RELEASE = {"0001", "0002", "0003"}
# A contracting revision names the release since which the removed object is unused.
CONTRACT = re.compile(r"^Contract: \S+", re.M)

BREAKS_THE_RUNNING_RELEASE = {
    r"\bDROP (TABLE|COLUMN|VIEW|FUNCTION|TYPE)\b": "drops an object that it may use",
    r"\bRENAME\b": "renames an object that it uses by the old name",
    r"\bALTER COLUMN \S+ (SET DATA )?TYPE\b": "changes a type in use, and rewrites the table",
    r"\bSET NOT NULL\b": "rejects rows that it still writes",
    r"\bADD COLUMN (?!.*\bDEFAULT\b).*\bNOT NULL\b": "rejects rows written without the column",
    r"\bREVOKE\b(?!.*\bFROM PUBLIC\b)": "revokes a privilege that it may need",
}
STOPS_THE_RUNNING_RELEASE = {
    r"\bADD CONSTRAINT\b(?!.*\bNOT VALID\b)": "reads the whole table under a lock: NOT VALID first",
    r"\bVALIDATE\b": "reads the whole table under ADD CONSTRAINT's lock: `migrate` validates later",
    r"\bLOCK TABLE\b": "blocks every other session",
    r"^\s*UPDATE (payments|recon_jobs|ledger_entries|accounts)\b(?!.*\bLIMIT\b)": "locks every row",
}
# IF NOT EXISTS: the index was built beforehand, which the revision verifies.
INDEX = re.compile(
    r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY|IF NOT EXISTS)[^;]*? ON (?:ONLY )?(\w+)", re.S
)
TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")


def complaints(sql: str, docstring: str) -> list[str]:
    """Return the statements of a revision's SQL that would break or block the running release."""
    rules = dict(STOPS_THE_RUNNING_RELEASE)
    if not CONTRACT.search(docstring):
        rules |= BREAKS_THE_RUNNING_RELEASE
    found = [
        f"{why}: {' '.join(statement.split())[:100]}"
        for statement in sql.split(";")
        for pattern, why in rules.items()
        if re.search(pattern, " ".join(statement.split()), re.I)
    ]
    made_here = set(TABLE.findall(sql))
    found += [
        f"blocks writers of {table} while it is built: CONCURRENTLY, beforehand"
        for table in INDEX.findall(sql)
        if table not in made_here
    ]
    return found


def revisions() -> list[Script]:
    return [
        revision
        for revision in ScriptDirectory.from_config(_config()).walk_revisions()
        if revision.revision not in OF_THE_FIRST_RELEASE
    ]


def sql_of(revision: Script) -> str:
    config = _config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, f"{revision.down_revision}:{revision.revision}", sql=True)
    return config.output_buffer.getvalue()


@pytest.mark.parametrize("revision", revisions(), ids=lambda revision: str(revision.revision))
def test_a_revision_only_adds(revision: Script) -> None:
    assert complaints(sql_of(revision), revision.module.__doc__ or "") == []


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("ALTER TABLE payments DROP COLUMN description", "drops an object"),
        ("ALTER TABLE payments RENAME COLUMN amount TO value", "renames"),
        ("ALTER TABLE payments ALTER COLUMN amount TYPE bigint", "changes a type"),
        ("ALTER TABLE payments ALTER COLUMN traceparent SET NOT NULL", "rejects rows"),
        ("ALTER TABLE payments ADD COLUMN channel text NOT NULL", "rejects rows"),
        ("REVOKE SELECT ON payments FROM payments_api", "revokes a privilege"),
        ("ALTER TABLE payments ADD CONSTRAINT c CHECK (amount < 9)", "NOT VALID first"),
        ("ALTER TABLE payments VALIDATE CONSTRAINT c", "validates later"),
        ("CREATE INDEX i ON payments (currency)", "CONCURRENTLY"),
        ("UPDATE payments SET description = ''", "locks every row"),
    ],
)
def test_breaking_or_blocking_statements_are_found(sql: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(sql, "Tidy up."))


def test_adding_statements_are_allowed() -> None:
    assert complaints("ALTER TABLE payments ADD COLUMN reference text", "") == []
    assert complaints("ALTER TABLE a ADD COLUMN b smallint NOT NULL DEFAULT 0", "") == []
    assert complaints("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID", "") == []
    assert complaints("CREATE TABLE a (b int); CREATE INDEX i ON a (b)", "") == []


def test_a_contracting_revision_raises_the_bound_for_older_releases() -> None:
    """Applies from the first revision with a bound, which `migrate` and readiness check."""
    first = "0014"
    found = {str(each.revision): each for each in revisions() if str(each.revision) >= first}
    assert found[first].module.oldest_compatible == first
    for name, revision in found.items():
        bound = getattr(revision.module, "oldest_compatible", None)
        if CONTRACT.search(revision.module.__doc__ or ""):
            assert bound is not None, (
                f"{name} contracts: name the oldest revision whose code works on it"
            )
        assert bound is None or first <= bound <= name


def test_a_contracting_revision_names_the_last_release_with_uses() -> None:
    drop = "ALTER TABLE payments DROP COLUMN description"
    assert complaints(drop, "Drop it.\n\nContract: 0.4.0 was the last to read it.") == []
    assert complaints(drop, "Drop it.") != []
