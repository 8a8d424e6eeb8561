"""The auditor's invariants, its bookmarks and lock, and the seals."""

from testkit.mutants.mutation import of

AUDIT = "recon-worker/src/recon_worker/audit"
AUDIT_TESTS = "recon-worker/tests/audit"
SEALING = "recon-worker/src/recon_worker/sealing"
SEALING_TESTS = "recon-worker/tests/sealing"

invariant = of(f"{AUDIT}/invariants.py", f"{AUDIT_TESTS}/test_invariants.py")
auditor = of(f"{AUDIT}/auditor.py", f"{AUDIT_TESTS}/test_auditor.py")
windows = of(f"{AUDIT}/windows.py", f"{AUDIT_TESTS}/test_auditor.py")
findings = of(f"{AUDIT}/findings.py", f"{AUDIT_TESTS}/test_auditor.py")
exclusion = of(f"{AUDIT}/exclusion.py", f"{AUDIT_TESTS}/test_auditor.py")
chain = of(f"{SEALING}/chain.py", f"{SEALING_TESTS}/test_chain.py")
background = of(f"{SEALING}/chain.py", f"{SEALING_TESTS}/test_background.py")
row_hashes = of(f"{SEALING}/row_hashes.py", f"{SEALING_TESTS}/test_verify.py")
seal_format = of(f"{SEALING}/format.py", f"{SEALING_TESTS}/test_verify.py")
key_file = of(f"{SEALING}/format.py", f"{SEALING_TESTS}/test_cli.py")
verify = of(f"{SEALING}/verify.py", f"{SEALING_TESTS}/test_verify.py")
compare = of(f"{SEALING}/compare.py", f"{SEALING_TESTS}/test_verify.py")
heads = of(f"{SEALING}/heads.py", f"{SEALING_TESTS}/test_verify.py")

NAMED = "test_a_violated_invariant_is_found_and_its_row_named"

MUTATIONS = (
    invariant(
        "a posting of no payment is not seen",
        "FROM ledger_entries e LEFT JOIN payments p",
        "FROM ledger_entries e JOIN payments p",
        NAMED,
    ),
    invariant(
        "a balance that is too low is not seen",
        "e.balance_after <> coalesce(",
        "e.balance_after > coalesce(",
        NAMED,
    ),
    invariant(
        "time that goes back is not seen",
        "before.created_at > e.created_at",
        "before.created_at > e.created_at + interval '99 years'",
        NAMED,
    ),
    invariant(
        "a head row without entries is not seen",
        "FROM accounts a FULL JOIN (",
        "FROM accounts a RIGHT JOIN (",
        NAMED,
    ),
    invariant(
        "a result of another status is not seen",
        "OR (p.status = 'failed') <> (r.status = 'failed')",
        "",
        NAMED,
    ),
    invariant(
        "a result of an unknown version is not seen",
        "END END)\n              IS NOT TRUE",
        "END END)\n              IS FALSE",
        NAMED,
    ),
    invariant(
        "the auditor decides by another fraction",
        "p.amount - trunc(p.amount) = 0.13",
        "p.amount - trunc(p.amount) = 0.14",
        "test_a_correct_ledger_violates_no_invariant",
    ),
    invariant(
        "a pending payment without a job is not seen",
        "coalesce(j.status <> 'completed', false)",
        "coalesce(j.status <> 'completed', p.settled_at IS NULL)",
        NAMED,
    ),
    invariant(
        "a payment that changed after it settled is not seen",
        "updated_at IS DISTINCT FROM CASE",
        "updated_at < CASE",
        NAMED,
    ),
    invariant(
        "a payment that was rewritten is not seen",
        "AND request_fingerprint <> sha256(",
        "AND length(request_fingerprint) <> 32 AND request_fingerprint <> sha256(",
        NAMED,
    ),
    invariant(
        "a key of two payments is not seen",
        "HAVING count(*) > 1",
        "HAVING count(*) > 2",
        "test_a_duplicate_key_is_found_even_without_its_constraint",
    ),
    invariant(
        "a forgotten job is not seen",
        "interval '{READY_JOB_AGE_SECONDS_MAX} s'",
        "interval '{READY_JOB_AGE_SECONDS_MAX}00000 s'",
        NAMED,
    ),
    windows(
        "an open transaction is not waited for",
        "await have_ended(connection, NUMBERED, writers, HORIZON_WAIT_SECONDS)",
        "await have_ended(connection, NUMBERED, frozenset())",
        "test_an_audit_waits_for_open_transactions_with_lower_ids",
    ),
    auditor(
        "late payments are not audited",
        "await _audit_late_payments(connection, progress, ends, findings)",
        "pass",
        "test_payments_with_ids_of_a_slow_clock_are_audited",
    ),
    findings(
        "a finding is forgotten at the next audit",
        "greatest(last.offending, excluded.offending)",
        "excluded.offending",
        "test_the_gauge_shows_a_violation_until_a_full_audit_clears_it",
    ),
    windows(
        "only the first rows of a large ledger are audited",
        "yield lo, hi\n        lo = hi",
        "yield lo, hi\n        return",
        "test_a_large_ledger_is_audited_in_contiguous_chunks",
    ),
    exclusion(
        "two audits run at once",
        "locked = False",
        "locked = True",
        "test_exclusion.py::test_of_two_concurrent_audits_only_one_runs",
    ),
    chain(
        "two sealers seal at once",
        "SELECT true FROM seal_verification FOR UPDATE SKIP LOCKED",
        "SELECT true FROM seal_verification",
        "test_only_one_sealer_runs_at_a_time",
    ),
    chain(
        "a posting that commits late is not waited for",
        'WRITTEN = ("ledger_entries", "reconciliation_results")',
        'WRITTEN = ("reconciliation_results",)',
        "test_waiting.py::test_sealing_waits_for_a_posting_that_commits_late",
    ),
    background(
        "an unsigned chain is built upon",
        "if keys and head != GENESIS:",
        "if False:",
        "test_a_chain_without_the_keys_signature_is_not_extended",
    ),
    row_hashes(
        "a running balance is not sealed",
        '"account_seq",\n    "balance_after",\n    "created_at",',
        '"account_seq",\n    "created_at",',
        "test_an_altered_entry_is_reported",
    ),
    seal_format(
        "any MAC is a signature",
        "hmac.compare_digest(mac, mac_of(k, seal_hash))",
        "len(mac) == len(mac_of(k, seal_hash))",
        "test_altered_seals.py::test_a_mac_of_another_key_is_invalid",
    ),
    key_file(
        "a short key signs seals",
        "len(key) < KEY_BYTES_MIN",
        "len(key) < 1",
        "test_an_invalid_key_file_prevents_the_start",
    ),
    verify(
        "an unsigned seal of a signed chain is not seen",
        "if walk.signed and not signed:",
        "if False:",
        "test_altered_seals.py::test_the_key_reveals_a_rewritten_chain",
    ),
    verify(
        "a missing seal is not seen",
        "if seal.seq != before.seq + 1:",
        "if False:",
        "test_altered_seals.py::test_a_seal_removed_from_the_middle_is_reported",
    ),
    verify(
        "a seal of another chain is not seen",
        "elif intact and seal.previous_hash != before.seal_hash:",
        "elif False:",
        "test_altered_seals.py::test_an_altered_seal_with_a_recomputed_hash_is_reported",
    ),
    verify(
        "an altered seal is not seen",
        "intact = after.seal_hash == row.seal_hash",
        "intact = True",
        "test_altered_seals.py::test_an_altered_seal_is_reported",
    ),
    compare(
        "an altered entry is not named",
        "elif sealed[row_id] != current[row_id].digest:",
        "elif False:",
        "test_an_altered_entry_is_reported",
    ),
    compare(
        "a missing entry is not named",
        "if row_id not in current:",
        "if row_id not in current:\n            continue\n        if False:",
        "test_a_deleted_entry_is_reported",
    ),
    heads(
        "a rewritten chain passes a kept head",
        "if hashes[head.seq] != head.seal_hash:",
        "if False:",
        "test_altered_seals.py::test_a_kept_head_reveals_a_rewritten_chain",
    ),
)
