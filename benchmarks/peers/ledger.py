"""The ledger's work for one job, as an experienced user of a queue library writes it.

Exact (cents in a bigint), double-entry, with a running balance: it settles the payment, updates
both head rows and posts two entries, in one transaction per job, as four statements or as one. The
clearing account is one of sixteen, chosen by the customer's account, and always locked second:
this avoids deadlocks and most waiting. Fillfactors equal those of our tables.
"""

CLEARING_ACCOUNTS = 16

TABLES = """
CREATE TABLE payments (id bigint PRIMARY KEY, account_id text NOT NULL, amount bigint NOT NULL,
    status text NOT NULL) WITH (fillfactor = 55);
CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL, seq bigint NOT NULL)
    WITH (fillfactor = 50);
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id bigint NOT NULL, account_id text NOT NULL, amount bigint NOT NULL,
    account_seq bigint NOT NULL, balance_after bigint NOT NULL, UNIQUE (account_id, account_seq));
"""

FILL = """
INSERT INTO payments
SELECT n, 'acc_' || n % 1000, n % 5000 + 100, 'pending' FROM generate_series(1, $1::int) AS n"""

SETTLE = """
UPDATE payments SET status = 'completed' WHERE id = $1 AND status = 'pending'
RETURNING account_id, amount"""

MOVE = """
INSERT INTO accounts AS head VALUES ($1, $2, 1)
ON CONFLICT (id) DO UPDATE SET balance = head.balance + excluded.balance, seq = head.seq + 1
RETURNING balance, seq"""

ENTER = """
INSERT INTO entries (payment_id, account_id, amount, account_seq, balance_after)
VALUES ($1, $2, $3, $4, $5), ($1, $6, -$3, $7, $8)"""

ONE = f"""
WITH settled AS (
    UPDATE payments SET status = 'completed' WHERE id = $1 AND status = 'pending'
    RETURNING id, account_id, amount
), credited AS (
    INSERT INTO accounts AS head SELECT account_id, amount, 1 FROM settled
    ON CONFLICT (id) DO UPDATE SET balance = head.balance + excluded.balance, seq = head.seq + 1
    RETURNING id, balance, seq
), debited AS (
    INSERT INTO accounts AS head
    SELECT 'sys:' || abs(hashtext(credited.id)) % {CLEARING_ACCOUNTS}, -amount, 1
    FROM settled, credited
    ON CONFLICT (id) DO UPDATE SET balance = head.balance + excluded.balance, seq = head.seq + 1
    RETURNING id, balance, seq
)
INSERT INTO entries (payment_id, account_id, amount, account_seq, balance_after)
SELECT settled.id, leg.id, leg.sign * amount, leg.seq, leg.balance
FROM settled, (SELECT *, 1 AS sign FROM credited UNION ALL SELECT *, -1 FROM debited) AS leg"""

# Rows that show an error in a finished ledger of N payments.
WRONG = """
SELECT 'entries' AS what WHERE (SELECT count(*) FROM entries) <> 2 * $1::bigint
UNION ALL SELECT 'pending' WHERE EXISTS (SELECT FROM payments WHERE status = 'pending')
UNION ALL SELECT 'sum' WHERE (SELECT sum(balance) FROM accounts) <> 0
UNION ALL SELECT 'head ' || head.id FROM accounts AS head JOIN (
    SELECT account_id, sum(amount) AS balance, count(*) AS n, max(account_seq) AS seq
    FROM entries GROUP BY 1) AS summed ON account_id = head.id
WHERE (head.balance, head.seq, head.seq) IS DISTINCT FROM (summed.balance, summed.n, summed.seq)"""


def clearing_account(account_id: str) -> str:
    """Return the clearing account that a customer's payments debit."""
    return f"sys:{sum(account_id.encode()) % CLEARING_ACCOUNTS}"
