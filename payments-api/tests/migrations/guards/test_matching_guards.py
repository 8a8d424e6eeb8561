"""The database rejects inconsistent matches, and changes of a run's decisions."""

import asyncpg
import pytest

from testkit.database.guarded_rows import insert
from testkit.database.sql import Sql

from .refusals import assert_refused, constraints_of
from .statement_rows import insert_source

SOURCE = "(SELECT min(id) FROM recon_sources)"
HASH = "sha256('x')"
DAY = "'2026-11-27'"


def _rules(text: str = "{}", **columns: str) -> str:
    digest = f"sha256(convert_to('{text}', 'UTF8'))"
    values = {"version": "2", "rules": f"'{text}'", "sha256": digest}
    return insert("recon_rule_sets", values, columns)


def _cut(**columns: str) -> str:
    return insert("recon_cuts", {"source_id": SOURCE, "entry_id": "1"}, columns)


def _day(**columns: str) -> str:
    values = {"source_id": SOURCE, "booked_on": DAY, "amount": "1", "entries": "1"}
    return insert("recon_days", values, columns)


def _entry(**columns: str) -> str:
    values = {
        "entry_id": "2",
        "source_id": SOURCE,
        "payment_id": "gen_random_uuid()",
        "amount": "1",
        "currency": "'EUR'",
        "reference": "'x'",
        "booked_on": DAY,
        "break_on": DAY,
    }
    return insert("open_entries", values, columns)


def _run(**columns: str) -> str:
    values = {
        "source_id": SOURCE,
        "as_of": DAY,
        "cut_entry_id": "1",
        "cut_line_id": "1",
        "rule_set": "1",
        "input_hash": HASH,
        "counts": "'{}'",
        "output_hash": HASH,
        "verdict": "'breaks'",
        "finished_at": "now()",
    }
    return insert("recon_runs", values, columns)


def _match(**columns: str) -> str:
    values = {
        "id": "2",
        "source_id": SOURCE,
        "rule": "'manual'",
        "why": "'x'",
        "score": "100",
        "actor": "'ann'",
        "first_on": DAY,
        "last_on": DAY,
    }
    return insert("recon_matches", values, columns)


def _leg(**columns: str) -> str:
    values = {"match_id": "1", "side": "'entry'", "item_id": "9", "amount": "1", "booked_on": DAY}
    return insert("match_legs", values, columns)


def _break(item: int = 2, **columns: str) -> str:
    identity = f"concat_ws('|', {SOURCE}, 'bank_only', 'line', {item})"
    values = {
        "id": f"encode(sha256(convert_to({identity}, 'UTF8')), 'hex')",
        "source_id": SOURCE,
        "class": "'bank_only'",
        "side": "'line'",
        "item_id": str(item),
        "amount": "1",
        "opened_on": DAY,
        "break_on": DAY,
    }
    return insert("recon_breaks", values, columns)


@pytest.fixture
async def matching(sql: Sql) -> Sql:
    """Create a source with a row in every table of matching; its legs bypass the triggers."""
    await sql.execute(insert_source(name="'bank'"))
    for row in (_cut(), _day(), _entry(entry_id="1"), _run(), _match(id="1"), _break(1)):
        await sql.execute(row)
    await sql.execute(f"SET session_replication_role = replica; {_leg(item_id='1')}")
    await sql.execute("SET session_replication_role = DEFAULT")
    return sql


# Otherwise an id that is no hash of its break would be refused first.
ANY_ID = "ALTER TABLE recon_breaks DROP CONSTRAINT break_id_is_a_hash;"
CONSTRAINTS = {
    "recon_rule_sets_pkey": _rules(version="1"),
    "recon_rule_sets_sha256_key": f"{_rules()}; {_rules(version='3')}",
    "rule_set_is_numbered_from_1": _rules(version="0"),
    "rule_set_is_hashed": _rules(sha256=HASH),
    "rule_set_is_an_object": _rules("[]"),
    "recon_cuts_pkey": _cut(),
    "recon_cuts_source_id_fkey": _cut(source_id="0"),
    "cut_is_not_negative": "UPDATE recon_cuts SET entry_id = -1",
    "recon_days_pkey": _day(),
    "recon_days_source_id_fkey": _day(source_id="0"),
    "day_has_entries": "UPDATE recon_days SET entries = 0",
    "open_entries_pkey": _entry(entry_id="1"),
    "open_entry_has_an_amount": _entry(amount="0"),
    "open_entry_breaks_after_its_day": _entry(break_on="'2026-11-26'"),
    "recon_runs_pkey": _run(id="(SELECT min(id) FROM recon_runs)"),
    "recon_runs_source_id_fkey": _run(source_id="0"),
    "recon_runs_rule_set_fkey": _run(rule_set="99"),
    "run_hashes_are_sha256": _run(input_hash="'x'"),
    "run_verdict_known": _run(verdict="'fine'"),
    "finished_run_has_an_outcome": _run(verdict="NULL"),
    "undone_run_has_a_reason": _run(undone_at="now()"),
    "recon_matches_pkey": _match(id="1"),
    "match_rule_known": _match(rule="'guess'", run_id="1", actor="NULL"),
    "match_is_of_a_run_or_an_actor": _match(run_id="1"),
    "match_score_is_a_percentage": _match(score="101"),
    "match_days_are_in_order": _match(last_on="'2026-11-26'"),
    "undone_match_has_an_actor": _match(undone_at="now()"),
    "match_actor_is_named": _match(actor="''"),
    "match_legs_pkey": _leg(item_id="1"),
    "leg_side_known": _leg(side="'bank'"),
    "leg_has_an_amount": _leg(amount="0"),
    "line_leg_has_a_former_status": _leg(side="'line'"),
    "recon_breaks_pkey": ANY_ID + _break(1, item_id="3"),
    "recon_breaks_source_id_fkey": ANY_ID + _break(source_id="0"),
    "recon_breaks_side_item_id_key": ANY_ID + _break(2, item_id="1"),
    "break_class_known": ANY_ID + _break(side="'entry'"),
    "break_id_is_a_hash": _break(id="'x'"),
    "resolved_break_has_an_actor": "UPDATE recon_breaks SET resolved_at = now()",
    "break_texts_are_short": "UPDATE recon_breaks SET assignee = repeat('x', 201)",
}
ALSO_REFUSED = [
    ("match_sides_are_equal", _leg()),
    ("open_entry_has_an_amount", _entry(amount="'NaN'")),
    ("match_legs_item_matched_once", _leg(match_id="2", item_id="1")),
    ("recon_runs_one_at_a_time", "; ".join(
        [_run(finished_at="NULL", counts="NULL", output_hash="NULL", verdict="NULL")] * 2
    )),
    ("recon_sources_speak_for_a_channel_once", insert_source(account_identifier="'DE2'")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statement"), [*CONSTRAINTS.items(), *ALSO_REFUSED])
async def test_each_constraint_refuses_by_its_name(
    matching: Sql, name: str, statement: str
) -> None:
    await assert_refused(matching, statement, name)


async def test_every_constraint_of_the_tables_is_in_the_table_above(sql: Sql) -> None:
    assert await constraints_of(
        sql, "^(recon_(rule_sets|cuts|days|runs|matches|breaks)|match_legs$|open_entries$)"
    ) == set(CONSTRAINTS)


@pytest.mark.parametrize(
    "change",
    [
        *(
            f"{verb} {table}{end}"
            for table in (
                *("recon_matches", "match_legs", "recon_runs", "recon_breaks", "recon_rule_sets"),
            )
            for verb, end in (("DELETE FROM", ""), ("TRUNCATE", " CASCADE"))
        ),
        "UPDATE recon_matches SET why = 'y'",
        "UPDATE match_legs SET amount = 2",
        "UPDATE recon_runs SET verdict = 'reconciled'",
        "UPDATE recon_runs SET as_of = as_of + 1",
        "UPDATE recon_breaks SET amount = 2",
        "UPDATE recon_rule_sets SET created_at = now()",
    ],
)
async def test_decisions_of_matching_never_change(matching: Sql, change: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await matching.execute(change)
