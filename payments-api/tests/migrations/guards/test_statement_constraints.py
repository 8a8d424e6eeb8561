"""Constraints reject statements that do not add up."""

import asyncpg
import pytest

from testkit.database.sql import Sql

from .refusals import assert_refused, constraints_of
from .statement_rows import (
    FILE,
    OTHER,
    insert_chunk,
    insert_file,
    insert_line,
    insert_source,
    insert_statement,
)

UPLOAD = f"INSERT INTO statement_uploads VALUES ('{FILE}', 0, 'x', 1)"
STAGED = (
    "INSERT INTO statement_staging (file_id, number, row_no, line_no, part_no, amount, currency,"
    f" booked_on, reversal, booking) VALUES ('{FILE}', 1, 1, 1, 0, 1, 'EUR', '2026-11-27', false,"
    " 'booked')"
)
MIN_SOURCE, MIN_STATEMENT = (
    "(SELECT min(id) FROM recon_sources)",
    "(SELECT min(id) FROM statements)",
)

CONSTRAINTS = {
    "recon_sources_pkey": insert_source(id=MIN_SOURCE),
    "recon_source_tenant_is_a_name": insert_source(tenant="'Acme'"),
    "recon_source_is_named": insert_source(name="'Bank'"),
    "account_identifier_is_normalised": insert_source(account_identifier="'de1'"),
    "recon_source_currency_is_a_code": insert_source(currency="'eur'"),
    "source_format_known": insert_source(format="'ofx'"),
    "profile_is_a_small_object": insert_source(profile="'[]'"),
    "channel_is_a_name": insert_source(channel="''"),
    "time_zone_is_named": insert_source(time_zone="''"),
    "grace_has_365_days_at_most": insert_source(grace_days="366"),
    "recon_sources_rule_set_fkey": insert_source(rule_set="99", currency="'USD'"),
    "statement_files_pkey": insert_file(id=f"'{FILE}'"),
    "statement_files_source_id_fkey": insert_file(source_id="0"),
    "statement_files_source_id_sha256_key": insert_file(sha256="sha256('')"),
    "file_hash_is_sha256": insert_file(chunks_sha256="''"),
    "file_has_bytes": insert_file(size_bytes="0"),
    "file_name_has_1_to_255_chars": insert_file(file_name="''"),
    "file_actor_is_named": insert_file(actor="''"),
    "file_status_known": insert_file(status="'lost'", decided_at="now()"),
    "file_problem_known": insert_file(
        status="'quarantined'",
        problem_code="'odd'",
        problem="'x'",
        problem_at="'x'",
        decided_at="now()",
    ),
    "quarantined_file_has_a_problem": insert_file(status="'quarantined'", decided_at="now()"),
    "decided_file_has_a_time": insert_file(status="'accepted'"),
    "file_is_vouched_for_with_a_reason": insert_file(accepted_by="'ann'"),
    "file_attempts_are_counted": insert_file(attempts="-1"),
    "statement_file_chunks_pkey": insert_chunk(chunk_no="0"),
    "statement_file_chunks_file_id_fkey": insert_chunk(file_id=f"'{OTHER}'"),
    "chunk_has_bytes": insert_chunk(size_bytes="0"),
    "statement_uploads_pkey": f"{UPLOAD}; {UPLOAD}",
    "statements_pkey": insert_statement(id=MIN_STATEMENT),
    "statements_id_source_id_key": "ALTER TABLE statements DROP CONSTRAINT statements_pkey CASCADE;"
    + insert_statement(id=MIN_STATEMENT),
    "statements_source_id_fkey": insert_statement(source_id="0"),
    "statements_file_id_fkey": insert_statement(file_id=f"'{OTHER}'"),
    "statements_file_id_number_key": insert_statement(number="1"),
    "statements_previous_id_fkey": insert_statement(previous_id="0"),
    "statement_kind_known": insert_statement(kind="'letter'"),
    "statement_covers_days": insert_statement(to_on="'2026-11-26'"),
    "statement_closes": insert_statement(closing="3.01"),
    "statement_counts_its_lines": insert_statement(known_count="2"),
    "statement_lines_pkey": insert_line(id="(SELECT min(id) FROM statement_lines)"),
    "statement_lines_statement_id_fkey": insert_line(statement_id="0"),
    "statement_lines_source_id_fingerprint_occurrence_key": insert_line(fingerprint="sha256('1')"),
    "statement_lines_statement_id_line_no_part_no_key": insert_line(line_no="1"),
    "line_amount_is_bounded": insert_line(amount="'NaN'"),
    "line_amount_needs_no_rounding": insert_line(amount="1.00001"),
    "line_currency_is_a_code": insert_line(currency="'eur'"),
    "lines_are_numbered": insert_line(line_no="0"),
    "line_fingerprint_is_sha256": insert_line(occurrence="0"),
    "line_booking_known": insert_line(booking="'maybe'"),
    "line_status_known": insert_line(status="'lost'"),
    "ignored_line_has_a_reason": insert_line(status="'ignored'"),
    "statement_staging_pkey": f"{STAGED}; {STAGED}",
}
ALSO_REFUSED = [
    ("line_amount_is_bounded", insert_line(amount="0")),
    ("line_amount_is_bounded", insert_line(amount="1e15")),
    ("account_identifier_is_normalised", insert_source(account_identifier="'DE 1'")),
    ("decided_file_has_a_time", insert_file(decided_at="now()")),
    ("quarantined_file_has_a_problem", insert_file(problem_code="'chain'")),
]


@pytest.mark.parametrize(("name", "statement"), [*CONSTRAINTS.items(), *ALSO_REFUSED])
async def test_each_constraint_refuses_by_its_name(
    statements: Sql, name: str, statement: str
) -> None:
    await assert_refused(statements, statement, name)


async def test_every_constraint_of_the_tables_is_in_the_table_above(sql: Sql) -> None:
    assert await constraints_of(sql, "^(recon_sources|statement)") == set(CONSTRAINTS)


async def test_a_source_has_one_name_in_its_tenant(statements: Sql) -> None:
    await statements.execute(insert_source(name="'bank'", tenant="'acme'"))
    for tenant in ("NULL", "'acme'"):
        with pytest.raises(asyncpg.UniqueViolationError, match="recon_sources_tenant_name"):
            await statements.execute(insert_source(name="'bank'", tenant=tenant))
