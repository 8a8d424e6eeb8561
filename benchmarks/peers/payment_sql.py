"""Create a payment and its job idempotently, in one statement on our tables.

$1 id, $2 idempotency key, $3 SHA-256 of the order, $4 account, $5 amount, $6 currency,
$7 description. Returns one row: the payment, new or stored, and its fingerprint.
"""

CREATE = """
WITH created AS (
    INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount, currency,
                          description)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, request_fingerprint, created_at
), enqueued AS (
    INSERT INTO recon_jobs (payment_id) SELECT id FROM created
), hint AS (
    SELECT pg_notify('recon_jobs', '') FROM created
)
SELECT created.*, (SELECT count(*) FROM hint) FROM created
UNION ALL
SELECT id, request_fingerprint, created_at, 0 FROM payments WHERE idempotency_key = $2
LIMIT 1"""
