"""The privileges of each role on each object, as decided: a new object needs an entry."""

from typing import TypeAlias

API, WORKER, READONLY = "payments_api", "payments_worker", "payments_readonly"
Rights: TypeAlias = dict[str, dict[str, str]]  # Role → privilege → columns, * for all.
BACKUP = "payments_backup"
NOTED = "assignee note resolved_at resolved_by"
ADJUSTMENT = "amount entry_ids id kind line_id proposed_by reason source_id"
DECIDED_BY = "decided_at decided_by decision_reason status"
READ: Rights = {role: {"SELECT": "*"} for role in (API, WORKER, READONLY)}
ACTION = "action actor job_ids key_name payment_id reason subject trace_id"
RESULT = "matched notes payment_id recon_job_id reversal_id rule_version status"
SETTLING = "settled_at status updated_at"
SOURCE = "account_identifier channel currency format grace_days name profile tenant time_zone"
SIZE = "size_bytes"
FILE = f"actor chunks_sha256 file_name id sha256 {SIZE} source_id"
DECISION = "accept_reason accepted_by decided_at problem problem_at problem_code status"
STATEMENT = (
    "accepted_by bank_id closing entry_count file_id from_on kind known_count known_net line_count"
    " net number opening previous_id sequence source_id to_on"
)
LINE = (
    "amount bank_ref batch_ref booked_on booking charges code counterparty currency end_to_end"
    " line_no original_amount original_currency part_no remittance return_reason reversal valued_on"
)
NEW_LINE = " ".join(
    sorted(f"{LINE} fingerprint occurrence source_id statement_id status status_reason".split())
)
STAGED = " ".join(sorted(f"{LINE} file_id number row_no".split()))
NO_SECRET = "created_at endpoint_id expires_at id"
SECRET = {"INSERT": "endpoint_id secret", "UPDATE": "expires_at", "DELETE": "*"}
RESEND = "earlier_attempts finished_at give_up_at lease_token next_attempt_at status"
DECIDED: dict[str, Rights] = {
    "payments": {
        API: {
            "SELECT": "*",
            "INSERT": "account_id amount currency description id idempotency_key metadata"
            " reference request_fingerprint source traceparent",
            "UPDATE": SETTLING,  # For a discarded payment; a trigger allows only a failure now.
        },
        WORKER: {"SELECT": "*", "UPDATE": SETTLING},
        READONLY: {"SELECT": "*"},
    },
    "reversals": {
        API: {
            "SELECT": "*",
            "INSERT": "account_id amount currency id idempotency_key metadata payment_id reason"
            " reference request_fingerprint source traceparent",
            "UPDATE": SETTLING,  # For a discarded reversal; a trigger allows only a failure now.
        },
        WORKER: {
            "SELECT": "*",
            "UPDATE": SETTLING,
        },  # A trigger allows only a completion now.
        READONLY: {"SELECT": "*"},
    },
    # A trigger rejects every statement except those of the triggers on reversals.
    "reversal_totals": READ
    | {
        API: {"SELECT": "*", "INSERT": "amount payment_id reserved", "UPDATE": "reserved"},
    },
    "recon_jobs": {
        API: {
            "SELECT": "*",
            "INSERT": "payment_id reversal_id traceparent",
            "UPDATE": "attempts run_at status updated_at",
        },
        WORKER: {
            "SELECT": "*",
            "UPDATE": "attempts last_error lease_token locked_at locked_by locked_until run_at"
            " status updated_at",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    "job_deaths": {
        API: {"SELECT": "*"},
        WORKER: {"SELECT": "*", "INSERT": "attempts job_id payment_id reversal_id", "DELETE": "*"},
        READONLY: {"SELECT": "*"},
    },
    "reconciliation_results": {
        API: {"SELECT": "*", "INSERT": RESULT},
        WORKER: {"SELECT": "*", "INSERT": f"discrepancy_amount {RESULT}"},
        READONLY: {"SELECT": "*"},
    },
    "accounts": {
        API: {"SELECT": "*"},
        WORKER: {"SELECT": "*", "INSERT": "*", "UPDATE": "balance credits debits seq updated_at"},
        READONLY: {"SELECT": "*"},
    },
    "ledger_entries": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "account_id account_seq amount balance_after created_at currency direction"
            " entry_type payment_id posting_kind reversal_id",
        },
        READONLY: {"SELECT": "*"},
    },
    "operator_actions": {
        API: {"SELECT": "*", "INSERT": ACTION},
        WORKER: {"SELECT": "*", "INSERT": ACTION},
        READONLY: {"SELECT": "*"},
    },
    "workers": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "completed_total host id version",
            "UPDATE": "completed_total seen_at",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    "worker_throughput": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "*",
            "UPDATE": "completed discrepancy failed",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    # UPDATE of the whole table includes the right to lock it for an audit.
    "audit_progress": READ | {WORKER: {"SELECT": "*", "UPDATE": "*"}},
    "audit_findings": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "invariant mode offenders offending",
            "UPDATE": "checked_at mode offenders offending",
        },
        READONLY: {"SELECT": "*"},
    },
    "ledger_seals": READ | {WORKER: {"SELECT": "*", "INSERT": "*"}},
    "seal_verification": READ | {WORKER: {"SELECT": "*", "UPDATE": "*"}},
    "api_keys": {
        API: {"SELECT": "*", "UPDATE": "last_used_at"},
        READONLY: {
            "SELECT": "created_at expires_at id last_used_at name replaces revoked_at scopes tenant"
        },
    },
    "recon_sources": READ
    | {
        API: {"SELECT": "*", "INSERT": SOURCE},
        WORKER: {"SELECT": "*", "INSERT": SOURCE, "UPDATE": "rule_set"},
    },
    "recon_rule_sets": READ | {WORKER: {"SELECT": "*", "INSERT": "rules sha256 version"}},
    "recon_cuts": READ | {WORKER: {"SELECT": "*", "INSERT": "*", "UPDATE": "entry_id updated_at"}},
    "recon_days": READ | {WORKER: {"SELECT": "*", "INSERT": "*", "UPDATE": "amount entries"}},
    "open_entries": READ
    | {role: {"SELECT": "*", "INSERT": "*", "DELETE": "*"} for role in (API, WORKER)},
    "recon_runs": READ
    | {
        WORKER: {
            "SELECT": "*",
            "INSERT": "as_of cut_entry_id cut_line_id input_hash rule_set source_id",
            "UPDATE": "counts finished_at output_hash residual undone_at undone_by undone_reason"
            " verdict verdict_on",
        }
    },
    "recon_matches": READ
    | {
        role: {
            "SELECT": "*",
            "INSERT": "actor first_on id last_on rule run_id score source_id why",
            "UPDATE": "undone_at undone_by undone_reason",
        }
        for role in (API, WORKER)
    },
    "match_legs": READ
    | {
        role: {
            "SELECT": "*",
            "INSERT": "amount booked_on former_reason former_status item_id match_id side",
            "UPDATE": "active",
        }
        for role in (API, WORKER)
    },
    "recon_breaks": READ
    | {
        API: {"SELECT": "*", "UPDATE": NOTED},
        WORKER: {
            "SELECT": "*",
            "INSERT": "amount break_on class id item_id opened_on side source_id",
            "UPDATE": NOTED,
        },
    },
    # The API proposes and decides; a trigger lets the worker alone post.
    "recon_adjustments": READ
    | {
        API: {"SELECT": "*", "INSERT": ADJUSTMENT, "UPDATE": DECIDED_BY},
        WORKER: {
            "SELECT": "*",
            "INSERT": ADJUSTMENT,
            "UPDATE": " ".join(sorted(f"{DECIDED_BY} failure settled_at".split())),
        },
    },
    "recon_matches_id_seq": {role: {"USAGE": "*"} for role in (API, WORKER)},
    "recon_runs_id_seq": {},
    "statement_files": READ
    | {
        API: {"SELECT": "*", "INSERT": FILE, "UPDATE": DECISION},
        WORKER: {
            "SELECT": "*",
            "INSERT": FILE,
            "UPDATE": " ".join(sorted(f"{DECISION} attempts encoding format retry_at".split())),
        },
    },
    "statement_file_chunks": READ
    | {role: {"SELECT": "*", "INSERT": f"chunk_no data file_id {SIZE}"} for role in (API, WORKER)},
    # No other role has a right on chunks of an unfinished file.
    "statement_uploads": {
        role: {"SELECT": "*", "INSERT": f"chunk_no data {SIZE} upload_id", "DELETE": "*"}
        for role in (API, WORKER)
    },
    "statements": READ | {WORKER: {"SELECT": "*", "INSERT": STATEMENT}},
    "statement_lines": READ
    | {
        API: {"SELECT": "*", "UPDATE": "status status_reason"},
        WORKER: {"SELECT": "*", "INSERT": NEW_LINE, "UPDATE": "status status_reason"},
    },
    "statement_staging": {WORKER: {"SELECT": "*", "INSERT": STAGED, "DELETE": "*"}},
    "webhook_endpoints": READ
    | {
        role: {
            "SELECT": "*",
            "INSERT": "after_position description id tenant types url",
            "UPDATE": "after_position deleted_at description disabled_reason enabled_at"
            " failing_since paused_until types url",
            **({"DELETE": "*"} if role == WORKER else {}),
        }
        for role in (API, WORKER)
    },
    # The API writes secrets and cannot read them; the worker signs with them.
    "webhook_secrets": {
        API: {"SELECT": NO_SECRET, **SECRET},
        WORKER: {"SELECT": "*", **SECRET},
        READONLY: {"SELECT": NO_SECRET},
    },
    "webhook_deliveries": READ
    | {
        # Only test events: a constraint rejects other events without a position.
        API: {"SELECT": "*", "INSERT": "body endpoint_id event_id id type", "UPDATE": RESEND},
        WORKER: {
            "SELECT": "*",
            "INSERT": "body endpoint_id event_id id payment_id position type",
            "UPDATE": f"attempts {RESEND}",
            "DELETE": "*",
        },
    },
    "webhook_attempts": READ
    | {
        WORKER: {
            "SELECT": "*",
            "INSERT": "answer delivery_id duration_seconds error number started_at status_code",
            "DELETE": "*",
        }
    },
    "webhook_disablings": READ
    | {WORKER: {"SELECT": "*", "INSERT": "endpoint_id failing_since reason", "DELETE": "*"}},
    "webhook_cursor": READ | {WORKER: {"SELECT": "*", "UPDATE": "position updated_at"}},
    "last_backup": READ | {BACKUP: {"UPDATE": "taken_at"}},
    "alembic_version": READ,
    "ledger_entries_id_seq": READ,
    # Events of dead jobs take their ids from the results' sequence.
    "reconciliation_results_id_seq": READ | {WORKER: {"SELECT": "*", "USAGE": "*"}},
    # Identity columns use these with the rights of the table.
    "operator_actions_id_seq": {},
    "recon_jobs_id_seq": {},
    "recon_sources_id_seq": {},
    "statements_id_seq": {},
    "statement_lines_id_seq": {},
}
