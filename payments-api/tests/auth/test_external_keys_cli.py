"""Keys made elsewhere, the page's among them: registered once, never replaced."""

import io
import re
import sys
from pathlib import Path

import pytest

from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KEY_PATTERN, hash_of, id_of, new_key
from testkit.database.sql import Sql

from .conftest import CREATE, Command


async def test_an_external_key_is_registered_once(
    keys: Command, sql: Sql, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    key = new_key()
    (tmp_path / "key").write_text(f"{key}\n")
    ui = ("create", "--name", "ui", "--scopes")
    status, out, err = await keys(*ui, "payments:read", "--from-env", "UI_KEY", UI_KEY=key)
    assert (status, out, err) == (0, f"key {id_of(key)} is registered in {where}\n", "")
    status, out, _ = await keys(*ui, "all", "--from-file", str(tmp_path / "key"))
    assert (status, out) == (0, f"key {id_of(key)} is registered already in {where}\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(key))
    assert (await keys(*ui, "all", "--from-file", "-"))[0] == 0
    (row,) = await sql.fetch("SELECT name, cardinality(scopes), secret_hash FROM api_keys")
    assert tuple(row) == ("ui", len(SCOPES), hash_of(key))


async def test_registering_a_key_again_keeps_its_expiry(keys: Command, sql: Sql) -> None:
    key = new_key()
    given = (*CREATE, "--scopes", "payments:read", "--from-env", "KEY")
    await keys(*given, KEY=key)
    await keys("rotate", id_of(key) or "", "--grace", "1h")
    end = "SELECT expires_at FROM api_keys WHERE id = $1"
    before = await sql.fetchval(end, id_of(key))
    assert before is not None
    assert (await keys(*given, KEY=key))[0] == 0
    assert await sql.fetchval(end, id_of(key)) == before


async def test_an_external_key_cannot_replace_another_or_an_ended_key(keys: Command) -> None:
    key = new_key()
    given = (*CREATE, "--scopes", "payments:read", "--from-env", "KEY")
    await keys(*given, KEY=key)
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    refused = [await keys(*given, KEY=other), await keys(*given, "--tenant", "acme", KEY=key)]
    await keys("revoke", id_of(key) or "")
    refused += [await keys(*given, KEY=key), await keys(*given, KEY="secret-of-mine")]
    refused += [await keys(*given, KEY="")]
    for status, out, err in refused:
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "create another key" in err or "not an API key" in err or "is empty" in err
        assert key not in err
        assert "secret-of-mine" not in err


async def test_a_key_is_generated_without_a_database(keys: Command) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/payments"
    status, out, err = await keys("generate", DATABASE_URL=nowhere)
    assert (status, err) == (0, "")
    assert re.fullmatch(KEY_PATTERN, out.removesuffix("\n"))


async def test_each_migration_registers_the_pages_key(
    keys: Command, sql: Sql, tmp_path: Path
) -> None:
    key = new_key()
    (tmp_path / "api-key").write_text(key)
    for said in ("registered", "registered already"):
        status, out, err = await keys("migrate", PAYMENTS_UI_API_KEY_FILE=str(tmp_path / "api-key"))
        assert (status, err) == (0, "")
        assert out.endswith(f"key {id_of(key)} of the page is {said}\n")
    row = await sql.fetchrow("SELECT name, tenant, cardinality(scopes) FROM api_keys")
    assert row is not None
    assert tuple(row) == ("payments-ui", None, len(SCOPES))
    (tmp_path / "api-key").write_text("no key")
    status, _, err = await keys("migrate", PAYMENTS_UI_API_KEY_FILE=str(tmp_path / "api-key"))
    assert status == 1
    assert err.startswith("migrate: PAYMENTS_UI_API_KEY: ")
    assert err.count("\n") == 1


async def test_the_migration_succeeds_again_after_the_pages_key_was_revoked(
    keys: Command, sql: Sql
) -> None:
    key = new_key()
    assert (await keys("migrate", PAYMENTS_UI_API_KEY=key))[0] == 0
    assert (await keys("revoke", id_of(key) or ""))[0] == 0
    status, out, err = await keys("migrate", PAYMENTS_UI_API_KEY=key)
    assert (status, err) == (0, "")
    assert out.endswith(
        f"the page has no valid key: key {id_of(key)} was revoked, which is final:"
        " create another key\n"
    )
    assert key not in out
    assert await sql.fetchval("SELECT revoked_at IS NOT NULL FROM api_keys")
