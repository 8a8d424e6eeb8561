"""The stricter limit: bare SQL that was tuned by its query plan.

The same work as in bare_sql.py on the narrowest possible tables, without the indexes that lists
need and without the rules: every payment completes. The planner estimates the rows of the join for
running balances well.
"""

from benchmarks.peers.bare_sql import Bare

TABLES = """
CREATE SCHEMA bare;
CREATE TABLE bare.payments (id uuid PRIMARY KEY, account_id text, amount bigint, status text)
    WITH (fillfactor = 55);
CREATE TABLE bare.jobs (id bigint PRIMARY KEY, payment_id uuid, status text);
CREATE INDEX ON bare.jobs (id) WHERE status = 'pending';
CREATE TABLE bare.accounts (account_id text PRIMARY KEY, balance bigint, seq bigint)
    WITH (fillfactor = 50);
CREATE TABLE bare.results (payment_id uuid PRIMARY KEY, status text);
CREATE TABLE bare.entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payment_id uuid,
    account_id text, delta bigint, account_seq bigint, balance_after bigint);
CREATE UNIQUE INDEX ON bare.entries (account_id, account_seq);
"""

FILL = """
WITH made AS (
    INSERT INTO bare.payments
    SELECT uuidv7(), 'acc_' || n % $2, n % 5000 + 100, 'pending'
    FROM generate_series(1, $1::int) AS n RETURNING id
)
INSERT INTO bare.jobs SELECT row_number() OVER (), id, 'pending' FROM made"""

BATCH = """
WITH claimed AS MATERIALIZED (
    SELECT id, payment_id FROM bare.jobs WHERE status = 'pending'
    ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), done AS (
    UPDATE bare.jobs SET status = 'completed' WHERE id = ANY (ARRAY(SELECT id FROM claimed))
), paid AS (
    UPDATE bare.payments SET status = 'completed'
    WHERE id = ANY (ARRAY(SELECT payment_id FROM claimed))
    RETURNING id, account_id, amount
), resulted AS (
    INSERT INTO bare.results SELECT id, 'completed' FROM paid
), legs AS MATERIALIZED (
    SELECT id, account_id, amount AS delta FROM paid
    UNION ALL SELECT id, $1, -amount FROM paid
), moved AS MATERIALIZED (
    SELECT account_id, sum(delta)::bigint AS delta, count(*) AS n FROM legs GROUP BY account_id
), heads AS (
    INSERT INTO bare.accounts AS head SELECT account_id, delta, n FROM moved ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE
    SET balance = head.balance + excluded.balance, seq = head.seq + excluded.seq
    RETURNING account_id, balance, seq
), entered AS (
    INSERT INTO bare.entries (payment_id, account_id, delta, account_seq, balance_after)
    SELECT legs.id, account_id, legs.delta, seq - n + row_number() OVER account,
           balance - moved.delta + sum(legs.delta) OVER (account ROWS UNBOUNDED PRECEDING)
    FROM legs JOIN heads USING (account_id) JOIN moved USING (account_id)
    WINDOW account AS (PARTITION BY account_id ORDER BY legs.id)
)
SELECT count(*) FROM claimed"""

TUNED = Bare(TABLES, FILL, BATCH)
