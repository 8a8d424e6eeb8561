"""Hash the rows that a seal covers, in the columns and bytes of each of its formats.

Postgres hashes them: fetching and hashing them in Python takes seven times as long.
"""

from collections.abc import Iterable, Sequence

DIGEST_BYTES = 8  # Of each row's hash, stored to identify the row; the whole hash is sealed.

_ENTRY_COLUMNS_2 = (
    "id",
    "payment_id",
    "account_id",
    "currency",
    "entry_type",
    "direction",
    "amount",
    "account_seq",
    "balance_after",
    "created_at",
)
ENTRY_COLUMNS = (*_ENTRY_COLUMNS_2, "reversal_id", "posting_kind")
_RESULT_COLUMNS_2 = (
    "id",
    "payment_id",
    "recon_job_id",
    "status",
    "matched",
    "discrepancy_amount",
    "notes",
    "rule_version",
    "created_at",
)
RESULT_COLUMNS = (*_RESULT_COLUMNS_2, "reversal_id")
# A settled payment never changes, so every column is sealed. Format 2 knows no more than these.
_PAYMENT_COLUMNS_2 = (
    "id",
    "idempotency_key",
    "request_fingerprint",
    "account_id",
    "amount",
    "currency",
    "description",
    "status",
    "traceparent",
    "created_at",
    "updated_at",
    "settled_at",
)
PAYMENT_COLUMNS = (*_PAYMENT_COLUMNS_2, "reference", "metadata", "source")
REVERSAL_COLUMNS = (
    "id",
    "idempotency_key",
    "request_fingerprint",
    "payment_id",
    "account_id",
    "currency",
    "source",
    "amount",
    "reason",
    "reference",
    "metadata",
    "status",
    "traceparent",
    "created_at",
    "updated_at",
    "settled_at",
)


def _sql_field(value: str) -> str:
    return f"coalesce(octet_length({value}) || ':' || {value} || ',', '-,')"


def _text_hash(kind: str, fields: Sequence[str]) -> str:
    """Return format 1's hash, of text fields: `LENGTH:VALUE,` in UTF-8 bytes, `-,` for NULL."""
    text = " || ".join((f"'{len(kind)}:{kind},1:1,'", *map(_sql_field, fields)))
    return f"sha256(convert_to({text}, 'UTF8'))"


def _row_hash(version: int, kind: str, columns: Iterable[str]) -> str:
    """Return the hash since format 2, of Postgres' binary row: twice as fast as text."""
    return f"sha256(record_send(ROW ('{kind}'::text, {version}, {', '.join(columns)})))"


# Numbers have no trailing zeros and times are microseconds since 1970, so that no setting of the
# session changes them.
_ENTRY_TEXTS = (
    "id::text",
    "payment_id::text",
    "account_id",
    "currency",
    "entry_type",
    "direction",
    "trim_scale(amount)::text",
    "account_seq::text",
    "trim_scale(balance_after)::text",
    "trim_scale(extract(epoch FROM created_at) * 1000000)::text",
)


def _results(version: int, payment_columns: Sequence[str]) -> str:
    """Return the query for the results, each hashed with its payment."""
    fields = (
        *(f"result.{column}" for column in _RESULT_COLUMNS_2),
        *(f"payment.{column}" for column in payment_columns),
    )
    return f"""
    SELECT result.id, result.payment_id, {_row_hash(version, "result", fields)} AS hash
    FROM reconciliation_results AS result LEFT JOIN LATERAL (
        SELECT * FROM payments WHERE payments.id = result.payment_id OFFSET 0
    ) AS payment ON true
    WHERE result.id"""


# Queries for (id, payment_id, hash) by format, to which a condition on the id is appended.
# OFFSET 0 makes Postgres look up each payment by its key, whatever number of results a generic plan
# expects.
ENTRIES = {
    version: f"SELECT id, payment_id, {hashed} AS hash FROM ledger_entries WHERE id"
    for version, hashed in (
        (1, _text_hash("entry", _ENTRY_TEXTS)),
        (2, _row_hash(2, "entry", _ENTRY_COLUMNS_2)),
        (3, _row_hash(3, "entry", _ENTRY_COLUMNS_2)),
        (4, _row_hash(4, "entry", ENTRY_COLUMNS)),
    )
}
_RESULT_FIELDS_4 = (
    *(f"result.{column}" for column in RESULT_COLUMNS),
    *(f"payment.{column}" for column in PAYMENT_COLUMNS),
    *(f"reversal.{column}" for column in REVERSAL_COLUMNS),
)
# Each result is of a payment or of a reversal; the other one's fields are NULL.
_RESULTS_4 = f"""
    SELECT result.id, coalesce(result.payment_id, reversal.payment_id) AS payment_id,
           {_row_hash(4, "result", _RESULT_FIELDS_4)} AS hash
    FROM reconciliation_results AS result LEFT JOIN LATERAL (
        SELECT * FROM payments WHERE payments.id = result.payment_id OFFSET 0
    ) AS payment ON true LEFT JOIN LATERAL (
        SELECT * FROM reversals WHERE reversals.id = result.reversal_id OFFSET 0
    ) AS reversal ON true
    WHERE result.id"""
RESULTS = {
    2: _results(2, _PAYMENT_COLUMNS_2),
    3: _results(3, PAYMENT_COLUMNS),
    4: _RESULTS_4,
}

# What a seal stores of its rows, selected from (id, hash).
SUMMARY = f"""
    count(*)::int AS rows,
    max(id) AS last_id,
    coalesce(range_agg(int8range(id, id, '[]')), '{{}}') AS ids,
    sha256(coalesce(string_agg(hash, NULL ORDER BY id), '')) AS hash,
    coalesce(string_agg(substr(hash, 1, {DIGEST_BYTES}), NULL ORDER BY id), '') AS digests"""
