"""SQL of rows for tests of the database's guards: payments A to D, reversals R to T."""

A = "00000000-0000-0000-0000-00000000000a"  # Pending.
B = "00000000-0000-0000-0000-00000000000b"  # Pending.
C = "00000000-0000-0000-0000-00000000000c"  # Completed, with its two legs.
D = "00000000-0000-0000-0000-00000000000d"  # Failed.
R = "00000000-0000-0000-0000-0000000000a0"  # A pending reversal of C, of 0.4.
S = "00000000-0000-0000-0000-0000000000a1"  # A completed reversal of C, of 0.1, without a posting.
T = "00000000-0000-0000-0000-0000000000a2"  # A failed reversal of C.
NEW = "00000000-0000-0000-0000-0000000000ff"


def insert(table: str, values: dict[str, str], columns: dict[str, str]) -> str:
    """Return an INSERT of a row of SQL expressions, some of them replaced by `columns`.

    An `id` replaces the one that the table would generate.
    """
    row = {**values, **columns}
    by_hand = " OVERRIDING SYSTEM VALUE" if "id" in row else ""
    return f"INSERT INTO {table} ({', '.join(row)}){by_hand} VALUES ({', '.join(row.values())})"


def insert_payment(**columns: str) -> str:
    """Return an INSERT of a pending payment, with these columns replaced."""
    values = {
        "id": f"'{NEW}'",
        "idempotency_key": "'new'",
        "request_fingerprint": "decode(repeat('00', 32), 'hex')",
        "account_id": "'acc_1'",
        "amount": "1",
        "currency": "'USD'",
        "description": "''",
    }
    return insert("payments", values, columns)


def insert_reversal(**columns: str) -> str:
    """Return an INSERT of a pending reversal of C, with these columns replaced."""
    values = {
        "id": f"'{NEW}'",
        "idempotency_key": "'new'",
        "request_fingerprint": "decode(repeat('00', 32), 'hex')",
        "payment_id": f"'{C}'",
        "account_id": "'acc_1'",
        "currency": "'USD'",
        "source": "'default'",
        "amount": "0.1",
        "reason": "'r'",
    }
    return insert("reversals", values, columns)


def insert_result(**columns: str) -> str:
    """Return an INSERT of a result of A, with these columns replaced."""
    values = {
        "payment_id": f"'{A}'",
        "recon_job_id": "1",
        "status": "'completed'",
        "matched": "true",
        "notes": "''",
        "rule_version": "1",
    }
    return insert("reconciliation_results", values, columns)


LEG = (
    "INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,"
    " account_seq, balance_after) VALUES "
)
CREDIT = f"('{A}', 'acc_1', 'USD', 'payment', 'credit', 1, 2, 1)"
DEBIT = f"('{A}', 'sys:clearing:00', 'USD', 'clearing', 'debit', 1, 2, -1)"
POSTING = f"{LEG}{CREDIT}, {DEBIT}"
POSTED_BACK = f"""
INSERT INTO ledger_entries (payment_id, reversal_id, posting_kind, account_id, currency, entry_type,
                            direction, amount, account_seq, balance_after) VALUES
    ('{C}', '{S}', 'reversal', 'acc_1', 'USD', 'reversal', 'debit', 0.1, 2, 0.9),
    ('{C}', '{S}', 'reversal', 'sys:clearing:00', 'USD', 'clearing', 'credit', 0.1, 2, -0.9)"""
NO_PAYMENT = {"payment_id": "NULL", "reversal_id": f"'{S}'"}
GENESIS = "decode(repeat('00', 32), 'hex')"


def insert_seal(**columns: str) -> str:
    """Return an INSERT of a seal of format 1, with these columns replaced."""
    values = {
        "seq": "2",
        "format_version": "1",
        "from_entry_id": "3",
        "to_entry_id": "2",
        "entry_count": "0",
        "entry_ids": "'{}'",
        "entries_hash": "sha256('')",
        "entry_digests": "''",
        "previous_hash": "sha256('1')",
        "seal_hash": "sha256('2')",
        "sealed_at": "now()",
    }
    return insert("ledger_seals", values, columns)


def insert_seal_2(**columns: str) -> str:
    """Return an INSERT of a seal of format 2, which covers a range of results."""
    results = {
        "format_version": "2",
        "from_result_id": "1",
        "to_result_id": "0",
        "result_count": "0",
        "result_ids": "'{}'",
        "results_hash": "sha256('')",
        "result_digests": "''",
    }
    return insert_seal(**{**results, **columns})


def insert_key(**columns: str) -> str:
    """Return an INSERT of an API key, with these columns replaced."""
    values = {
        "id": "'0123456789ab'",
        "secret_hash": "sha256('s')",
        "name": "'till'",
        "scopes": "'{payments:read}'",
    }
    return insert("api_keys", values, columns)
