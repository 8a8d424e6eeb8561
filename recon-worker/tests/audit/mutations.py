"""The rows of the books to mutate, the mutations, and what no check can see, with the reason."""

SETTLED_BY = "id = (SELECT payment_id FROM reconciliation_results WHERE {})"
# The mutated rows of each table, by the payment or seal that they belong to.
ROWS = {
    "payments": {
        "completed": SETTLED_BY.format("status = 'completed' ORDER BY id LIMIT 1"),
        "discrepancy": SETTLED_BY.format("status = 'completed_with_discrepancy'"),
        "failed": SETTLED_BY.format("status = 'failed' AND rule_version = 1"),
        "discarded": SETTLED_BY.format("rule_version = 0 AND payment_id IS NOT NULL"),
        "pending": "status = 'pending'",
    },
    "reversals": {
        "completed": "status = 'completed'",
        "discarded": "status = 'failed'",
        "pending": "status = 'pending'",
    },
    "reversal_totals": {"of a payment": "true"},
    "recon_adjustments": {
        kind: f"status = '{kind}'"
        for kind in ("proposed", "approved", "rejected", "posted", "failed")
    },
    "recon_jobs": {
        "settled": "id = 1001",
        "pending": "status = 'pending' AND payment_id IS NOT NULL",
        "of a settled reversal": "id = 1005",
        "of a pending reversal": "reversal_id IS NOT NULL AND status = 'pending'",
    },
    "reconciliation_results": {
        "completed": "id = 2001",
        "discrepancy": "status = 'completed_with_discrepancy'",
        "failed": "status = 'failed' AND rule_version = 1",
        "discarded": "rule_version = 0 AND payment_id IS NOT NULL",
        "reversed": "reversal_id IS NOT NULL AND rule_version = 1",
        "discarded reversal": "reversal_id IS NOT NULL AND rule_version = 0",
    },
    "ledger_entries": {
        "payment": "id = 1",
        "clearing": "id = 6",
        "reversal": "entry_type = 'reversal'",
        "clearing of a reversal": "reversal_id IS NOT NULL AND entry_type = 'clearing'",
        "adjustment": "entry_type = 'adjustment'",
        "clearing of an adjustment": "posting_kind = 'adjustment' AND entry_type = 'clearing'",
    },
    "accounts": {
        "customer": "account_id = 'a'",
        "clearing": "account_id LIKE 'sys:clearing:%'",
        "adjustment": "account_id LIKE 'sys:adjustment:%'",
    },
    "ledger_seals": {"first": "seq = 1", "last": "seq = 2"},
}
STATEMENTS = "what banks say of the books: test_statements.py mutates it"
NO_MONEY = {
    "alembic_version": "the schema's revision",
    "api_keys": "access",
    "audit_findings": "what the auditor found",
    **dict.fromkeys(
        (
            *("match_legs", "open_entries", "recon_breaks", "recon_cuts", "recon_days"),
            *("recon_matches", "recon_rule_sets", "recon_runs", "recon_sources"),
        ),
        "what matching says of the books: test_mutation_of_matching.py mutates it",
    ),
    "audit_progress": "where an incremental audit goes on; a full one needs none of it",
    "job_deaths": "that a job died; its payment stays open until an operator decides",
    "last_backup": "when a backup was taken",
    "operator_actions": "who did what; a discard that is not on record is found by its result",
    **dict.fromkeys(("statement_uploads", "statement_staging"), STATEMENTS),
    **dict.fromkeys(("statement_files", "statement_file_chunks"), STATEMENTS),
    **dict.fromkeys(("statements", "statement_lines"), STATEMENTS),
    "seal_verification": "what verifying found; `audit --seal` needs none of it",
    **dict.fromkeys(
        ("webhook_endpoints", "webhook_secrets", "webhook_deliveries", "webhook_attempts"),
        "what tells others of the books: the event log has the events",
    ),
    **dict.fromkeys(("webhook_cursor", "webhook_disablings"), "how far it has been told"),
    "worker_throughput": "figures",
    "workers": "signs of life",
}
WAITS = "sealed when it settles; until then its text is held by the fingerprint alone"
SCHEDULE = "when and by which worker a job is run; its subject settles once all the same"
# Mutations that no check detects, and the reason. docs/decisions/0024-tamper-evidence.md says the
# same.
UNSEEN = {
    **{
        (table, "pending", column): WAITS
        for table in ("payments", "reversals")
        for column in ("idempotency_key", "traceparent")
    },
    **{
        ("recon_jobs", kind, column): SCHEDULE
        for kind in ROWS["recon_jobs"]
        for column in (
            "priority",
            "attempts",
            "max_attempts",
            "run_at",
            "locked_by",
            "locked_at",
            "locked_until",
            "lease_token",
            "last_error",
            "traceparent",
            "created_at",
            "updated_at",
        )
    },
    **{
        ("recon_jobs", kind, "id"): "a job's number means nothing until a result has it"
        for kind in ("pending", "of a pending reversal")
    },
    **{
        ("recon_jobs", kind, "DELETE"): "finished jobs are pruned; results stay"
        for kind in ("settled", "of a settled reversal")
    },
    **{
        ("accounts", kind, "created_at"): "shown by no page and used by no sum"
        for kind in ROWS["accounts"]
    },
    **{
        ("recon_adjustments", kind, column): "when it was; the audit log has the time too"
        for kind, columns in {
            "proposed": ("proposed_at",),
            **dict.fromkeys(("approved", "rejected"), ("proposed_at", "decided_at")),
            **dict.fromkeys(("posted", "failed"), ("proposed_at", "decided_at", "settled_at")),
        }.items()
        for column in columns
    },
    ("recon_adjustments", "failed", "failure"): "what kept it back; nothing was posted",
    (
        "ledger_seals",
        "first",
        "mac",
    ): "a seal before the first that a known key signed may be of a key that has been retired",
}
ANOTHER = {
    "text": "coalesce({0}, '') || 'x'",
    "numeric": "coalesce({0}, 0) + 0.01",
    "bigint": "coalesce({0}, 0) + 100000",
    "integer": "coalesce({0}, 0) + 7",
    "smallint": "coalesce({0}, 0) + 7",
    "boolean": "NOT {0}",
    "uuid": "gen_random_uuid()",
    "bytea": "sha256(coalesce({0}, ''))",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
    "jsonb": """coalesce({0}, '{{}}') || '{{"x": "y"}}'""",
    "_int8": "{0} || 1::bigint",
    "int8multirange": "{0} + '{{[100000,100001)}}'",
}
# A forger's value for columns with a fixed set of values.
PLAUSIBLE = {
    ("payments", "status"): "CASE status WHEN 'failed' THEN 'pending' ELSE 'failed' END",
    ("reversals", "status"): "CASE status WHEN 'failed' THEN 'pending' ELSE 'failed' END",
    ("recon_adjustments", "status"): "CASE status WHEN 'posted' THEN 'failed' ELSE 'posted' END",
    ("recon_jobs", "status"): "CASE status WHEN 'completed' THEN 'failed' ELSE 'completed' END",
    ("reconciliation_results", "status"): "CASE status WHEN 'failed' THEN 'completed'"
    " ELSE 'failed' END",
    ("reconciliation_results", "rule_version"): "1 - rule_version",
    ("ledger_entries", "direction"): "CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END",
    ("ledger_entries", "posting_kind"): "CASE posting_kind WHEN 'payment' THEN 'reversal'"
    " ELSE 'payment' END",
    ("ledger_seals", "format_version"): "1",
}
OF_ONE = {
    f"{kind}_id": f"CASE WHEN {kind}_id IS NOT NULL THEN gen_random_uuid() END"
    for kind in ("payment", "reversal")
}
# Inserted rows, as columns that differ from a genuine row.
FORGED = {
    "payments": {"id": "gen_random_uuid()", "idempotency_key": "'forged'"},
    "reversals": {"id": "gen_random_uuid()", "idempotency_key": "'forged'"},
    "reversal_totals": {"payment_id": "gen_random_uuid()"},
    "recon_adjustments": {
        "id": "gen_random_uuid()",
        "line_id": "(SELECT line_id FROM recon_adjustments WHERE status = 'rejected')",
    },
    "recon_jobs": {"id": "9001", **OF_ONE},
    "reconciliation_results": {"id": "2001 - 500", **OF_ONE},
    "ledger_entries": {"id": "9001", "payment_id": "gen_random_uuid()", "account_seq": "900"},
    "accounts": {"account_id": "'ghost'"},
    "ledger_seals": {"seq": "3", "previous_hash": "sha256('')"},
}
