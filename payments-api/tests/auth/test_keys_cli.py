"""payments-api keys: a key is shown once, and every error is one line."""

import json
import re

import pytest

from payments_api.auth import keys as api_keys
from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KEY_PATTERN, hash_of, id_of, new_key
from payments_core.audit_log import this_user
from testkit.database.sql import Sql

from .conftest import CREATE, Command


async def test_a_new_key_is_printed_once_and_nothing_else_is(
    keys: Command, sql: Sql, where: str
) -> None:
    status, out, err = await keys(*CREATE, "--scopes", "payments:read,payments:write")
    assert status == 0, err
    key = out.removesuffix("\n")
    assert re.fullmatch(KEY_PATTERN, key)
    assert key not in err
    row = await sql.fetchrow("SELECT * FROM api_keys")
    assert row is not None
    assert (row["id"], row["secret_hash"]) == (id_of(key), hash_of(key))
    assert (row["name"], row["tenant"], row["expires_at"]) == ("shop", None, None)
    assert row["scopes"] == ["payments:write", "payments:read"]
    assert where in err
    for how in ([], ["--all"], ["--json"]):
        _, out, err = await keys("list", *how)
        assert id_of(key) or "" in out
        assert key.rpartition("_")[2] not in out + err
        assert hash_of(key).hex() not in out + err


async def test_the_list_shows_every_field_of_each_key(keys: Command, sql: Sql) -> None:
    await keys(*CREATE, "--scopes", "ledger:read", "--tenant", "acme", "--expires-in", "90d")
    await keys("create", "--name", "ops", "--scopes", "all")
    await sql.execute("UPDATE api_keys SET last_used_at = '2026-02-03 04:05Z' WHERE name = 'ops'")
    _, out, err = await keys("list")
    assert err == ""
    head, first, second = out.splitlines()
    assert head.split("  ")[0] == "id"
    assert "shop" in first
    assert "ledger:read" in first
    assert "acme" in first
    assert ",".join(SCOPES) in second
    assert "2026-02-03 04:05:00Z" in second
    _, out, _ = await keys("list", "--json")
    shop, ops = map(json.loads, out.splitlines())
    assert (shop["tenant"], ops["tenant"]) == ("acme", None)
    assert (shop["expires_at"] is None, ops["expires_at"]) == (False, None)


async def test_the_list_continues_at_its_cursor(keys: Command) -> None:
    for name in ("a", "b", "c"):
        await keys("create", "--name", name, "--scopes", "all")
    _, out, note = await keys("list", "--json", "--limit", "2")
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["a", "b"]
    _, out, rest = await keys("list", "--json", "--limit", "2", *note.split()[-2:])
    assert ([json.loads(line)["name"] for line in out.splitlines()], rest) == (["c"], "")
    assert (await keys("list", "--after", "nosuchkey123"))[0] == 1


async def test_several_keys_are_revoked_together_once_confirmed(
    keys: Command, sql: Sql, where: str
) -> None:
    made = [await keys(*CREATE, "--scopes", "all", "--json") for _ in range(3)]
    ids = [json.loads(out)["id"] for _, out, _ in made]
    status, _, error = await keys("revoke", *ids[:2])
    assert status == 2
    assert f"Revoke 2 keys in {where}?" in error
    assert await sql.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL") == 0
    status, out, _ = await keys("revoke", *ids[:2], "--yes", "--json")
    assert (status, json.loads(out)) == (0, {"revoked": ids[:2]})
    left = await sql.fetch("SELECT id FROM api_keys WHERE revoked_at IS NULL")
    assert [row["id"] for row in left] == ids[2:]


async def test_ended_keys_are_listed_on_request(keys: Command) -> None:
    _, out, _ = await keys(*CREATE, "--scopes", "all")
    key_id = id_of(out.strip()) or ""
    assert (await keys("revoke", key_id))[0] == 0
    assert key_id not in (await keys("list"))[1]
    assert key_id in (await keys("list", "--all"))[1]


async def test_a_whole_key_can_be_given_to_revoke(keys: Command, sql: Sql) -> None:
    _, out, _ = await keys(*CREATE, "--scopes", "all")
    status, said, err = await keys("revoke", out.strip())
    assert status == 0
    assert "is revoked" in said
    assert out.strip() not in said + err
    assert await sql.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 0
    again = await keys("revoke", id_of(out.strip()) or "")
    assert again[0] == 0
    assert "already" in again[1]


async def test_a_rotation_copies_scopes_and_ends_the_old_key(keys: Command, sql: Sql) -> None:
    _, out, _ = await keys(*CREATE, "--scopes", "ledger:read", "--tenant", "acme")
    old = id_of(out.strip()) or ""
    status, out, err = await keys("rotate", old, "--grace", "2h")
    assert status == 0, err
    rows = {
        row["id"]: row
        for row in await sql.fetch(
            "SELECT *, to_char(expires_at, 'YYYY-MM-DD HH24:MI:SSZ') AS shown,"
            " expires_at BETWEEN now() + interval '119 min'"
            " AND now() + interval '2 h' AS in_2_hours FROM api_keys"
        )
    }
    new = rows[id_of(out.strip())]
    assert (new["name"], new["scopes"], new["tenant"]) == ("shop", ["ledger:read"], "acme")
    assert (new["replaces"], new["expires_at"]) == (old, None)
    assert rows[old]["in_2_hours"]
    assert f" is valid until {rows[old]['shown']}." in err
    await keys("revoke", old)
    assert (await keys("rotate", old))[0] == 1


async def test_a_rotation_prolongs_no_key(keys: Command, sql: Sql) -> None:
    _, out, _ = await keys(*CREATE, "--scopes", "ledger:read", "--expires-in", "1h")
    shown = "SELECT to_char(expires_at, 'YYYY-MM-DD HH24:MI:SSZ') FROM api_keys"
    end = await sql.fetchval(shown)
    _, _, err = await keys("rotate", id_of(out.strip()) or "", "--grace", "2h")
    assert f" is valid until {end}." in err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((*CREATE, "--scopes", ""), 1),
        ((*CREATE, "--scopes", "payments:delete"), 1),
        ((*CREATE, "--scopes", "jobs:admin", "--tenant", "acme"), 1),
        ((*CREATE, "--scopes", "all", "--tenant", "acme"), 1),
        ((*CREATE, "--scopes", "payments:read", "--tenant", "Acme"), 1),
        ((*CREATE, "--scopes", "payments:read", "--tenant=-acme"), 1),
        ((*CREATE, "--scopes", "payments:read", "--tenant", "a" * 33), 1),
        ((*CREATE, "--scopes", "payments:read", "--tenant", ""), 1),
        (("create", "--name", "", "--scopes", "all"), 1),
        (("create", "--name", "n" * 101, "--scopes", "all"), 1),
        (("create", "--name", "two\nlines", "--scopes", "all"), 1),
        ((*CREATE, "--scopes", "all", "--from-file", "/nowhere/key"), 1),
        ((*CREATE, "--scopes", "all", "--expires-in", "soon"), 2),
        ((*CREATE, "--scopes", "all", "--expires-in", "999999d"), 2),
        (("revoke", "nosuchkey123"), 1),
        (("revoke", "not an id"), 1),
        (("rotate", "nosuchkey123"), 1),
    ],
)
async def test_an_invalid_request_creates_no_key(
    keys: Command, sql: Sql, arguments: tuple[str, ...], status: int
) -> None:
    found, out, err = await keys(*arguments)
    assert (found, out) == (status, "")
    assert err
    if status == 1 and "/nowhere/key" not in arguments:
        assert err.startswith("keys: ")
        assert err.count("\n") == 1
    assert await sql.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_the_apis_role_cannot_create_keys(keys: Command, api_url_of_database: str) -> None:
    status, out, err = await keys(*CREATE, "--scopes", "all", DATABASE_URL=api_url_of_database)
    assert (status, out) == (2, "")
    assert "permission denied" in err


async def test_an_unreachable_database_has_its_own_exit_status(keys: Command) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/payments"
    assert (await keys("list", DATABASE_URL=nowhere))[0] == 2


async def test_the_number_of_keys_is_limited(
    keys: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "KEYS_MAX", 1)
    assert (await keys(*CREATE, "--scopes", "all"))[0] == 0
    assert (await keys(*CREATE, "--scopes", "all"))[0] == 1


def test_keys_are_unique() -> None:
    made = {new_key() for _ in range(1_000)}
    assert len({key.rpartition("_")[2] for key in made}) == 1_000
    assert len({id_of(key) for key in made}) == 1_000


async def test_changes_of_keys_are_recorded(keys: Command, sql: Sql) -> None:
    _, out, _ = await keys(*CREATE, "--scopes", "payments:read", "--actor", "ann")
    first = id_of(out.strip())
    _, out, _ = await keys("rotate", str(first), "--actor", "bob")
    second = id_of(out.strip())
    await keys("revoke", str(second))
    await keys("revoke", str(second))  # This command changes nothing.
    given = new_key()
    await keys(*CREATE, "--scopes", "all", "--from-env", "GIVEN", GIVEN=given)
    rows = await sql.fetch("SELECT action, actor, reason FROM operator_actions ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("create_key", "ann", f"{first}, shop"),
        ("rotate_key", "bob", f"{first}, to {second}"),
        ("revoke_key", this_user(), second),
        ("create_key", this_user(), f"{id_of(given)}, shop"),
    ]
    assert given not in str(rows)


@pytest.mark.parametrize("actor", ["", "a" * 201])
async def test_a_recorded_actor_needs_a_name(keys: Command, sql: Sql, actor: str) -> None:
    status, _, err = await keys(*CREATE, "--scopes", "all", "--actor", actor)
    assert status == 2
    assert "1 to 200 characters" in err
    assert await sql.fetchval("SELECT count(*) FROM api_keys") == 0
