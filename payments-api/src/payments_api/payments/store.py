"""The statements that store payments with their jobs, and find those stored before."""

from payments_core.queue import jobs

# Every statement inserts its keys in one order, so two that share keys cannot deadlock. A key
# that another transaction is inserting is waited for, then skipped.
_CREATE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::numeric[],
                         $6::text[], $7::text[], $8::text[]{operator_arrays})
        AS asked (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                  description, traceparent{operator_names})
), created AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,
                          currency, description, traceparent)
    SELECT id, idempotency_key, request_fingerprint, account_id, amount, currency, description,
           traceparent
    FROM asked ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, created_at, traceparent
), enqueued AS (
    {enqueue}
){recorded}
SELECT id, created_at FROM created"""

_ENQUEUE = jobs.ENQUEUE.format(source="created")

CREATE = _CREATE.format(enqueue=_ENQUEUE, operator_arrays="", operator_names="", recorded="")

# For a batch in which an operator creates a payment: a replay is no action, and not recorded.
CREATE_RECORDED = _CREATE.format(
    enqueue=_ENQUEUE,
    operator_arrays=", $9::text[], $10::text[], $11::text[]",
    operator_names=", actor, key_name, trace_id",
    recorded=""", recorded AS (
    INSERT INTO operator_actions (action, actor, key_name, trace_id, reason, job_ids, payment_id)
    SELECT 'create', actor, key_name, trace_id, '', '{}', id
    FROM created JOIN asked USING (id) WHERE actor IS NOT NULL
)""",
)

# A statement of its own: a transaction that made the first one skip a key may have committed.
FIND = """
SELECT idempotency_key, request_fingerprint, id, account_id, amount, currency, description,
       created_at
FROM payments WHERE idempotency_key = ANY ($1::text[])"""
