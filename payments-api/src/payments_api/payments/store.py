"""The statements that store payments with their jobs, and find those that are there already."""

from payments_core.queue import jobs

# Keys are inserted in one order by everybody, so two statements that share keys cannot wait
# for each other. A key that is being inserted elsewhere is waited for, then left alone.
CREATE = f"""
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::numeric[],
                         $6::text[], $7::text[], $8::text[])
        AS asked (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                  description, traceparent)
), created AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,
                          currency, description, traceparent)
    SELECT * FROM asked ORDER BY idempotency_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, created_at, traceparent
), enqueued AS (
    {jobs.ENQUEUE.format(source="created")}
)
SELECT id, created_at FROM created"""

# A statement of its own: what made the first one skip a key may have been committed since.
FIND = """
SELECT idempotency_key, request_fingerprint, id, account_id, amount, currency, description,
       created_at
FROM payments WHERE idempotency_key = ANY ($1::text[])"""
