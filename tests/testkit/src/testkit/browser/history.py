"""A simulated day of payments, moved into the past, so that charts and lists look as in use."""

import json
import random
import urllib.request

from testkit.browser.actions import make_dead_letters
from testkit.browser.whole_system import WholeSystem

ACCOUNTS = (
    "acme-gmbh",
    "northwind.trading",
    "blue-harbor-logistics",
    "atelier:paris",
    "orchid-foods",
    "lumen-energy",
)
DESCRIPTIONS = (
    "Invoice 2026-1143",
    "Rent, November",
    "Consulting, October",
    "Refund of order 88121",
    "Freight Rotterdam – Oslo",
    "Subscription, yearly",
    "Deposit",
    "",
)
CURRENCIES = ("USD", "USD", "USD", "USD", "EUR", "EUR", "GBP", "JPY")
PAYMENTS = 260

# The ledger rejects updates even by its owner; the triggers are disabled only for screenshots.
MOVE_INTO_THE_PAST = """
SET session_replication_role = replica;
CREATE TEMP TABLE moved AS
  SELECT id, created_at AS was, now() - interval '3 minutes'
    - (row_number() OVER (ORDER BY id DESC)) * interval '197 seconds'
    - (abs(hashtext(id::text)) % 150) * interval '1 second' AS new_at
  FROM payments;
UPDATE payments p SET created_at = new_at, settled_at = new_at + (settled_at - was),
  updated_at = new_at + (updated_at - was) FROM moved m WHERE m.id = p.id;
UPDATE ledger_entries e SET created_at = new_at + (created_at - was) FROM moved m
  WHERE m.id = e.payment_id;
UPDATE accounts a SET updated_at = last.at FROM (
  SELECT account_id, currency, max(created_at) AS at FROM ledger_entries GROUP BY 1, 2) AS last
  WHERE (a.account_id, a.currency) = (last.account_id, last.currency);
UPDATE reconciliation_results r SET created_at = new_at + (created_at - was) FROM moved m
  WHERE m.id = r.payment_id;
UPDATE recon_jobs j SET created_at = new_at, locked_at = new_at + (locked_at - was),
  updated_at = new_at + (updated_at - was) FROM moved m WHERE m.id = j.payment_id;
DELETE FROM worker_throughput;
INSERT INTO worker_throughput (bucket_start, worker_id, completed, failed, discrepancy)
  SELECT date_bin('10 seconds', now(), '2000-01-01') - n * interval '10 seconds', 'drawn',
    150 + (60 * sin(n / 9.0))::int + abs(hashtext('c' || n)) % 40 + (CASE WHEN n < 30 THEN 90
    ELSE 0 END), CASE WHEN n % 13 = 4 THEN 6 ELSE 0 END, abs(hashtext('d' || n)) % 9
  FROM generate_series(1, 89) n
"""


def make_history(system: WholeSystem) -> None:
    """Create a day of payments; three become dead letters, and an operator settles one of them."""
    chance = random.Random(11)
    orders = []
    for number in range(PAYMENTS):
        currency = chance.choice(CURRENCIES)
        whole = chance.randint(8, 9000)
        cents = 13 if number % 19 == 7 else chance.randint(0, 99)
        amount = f"{whole * 90}" if currency == "JPY" else f"{whole}.{cents:02d}"
        orders.append(
            {
                "idempotencyKey": f"drawn-{number}",
                "accountId": chance.choice(ACCOUNTS),
                "amount": f"-{amount}" if number % 31 == 12 else amount,
                "currency": currency,
                "description": chance.choice(DESCRIPTIONS),
            }
        )
    # A few at a time, so that ids, postings and times have one order, as in real use.
    for start in range(0, PAYMENTS, 10):
        post(system, "/payments/batch", {"payments": orders[start : start + 10]})
        wait_until_pending(system, 0)
    error = "canceling statement due to lock timeout while locking tuple (12,4) in accounts"
    dead = make_dead_letters(system, "kestrel_eu", 4, error)
    post(system, f"/jobs/{dead[0]}/replay", {"actor": "Ada Lovelace", "reason": "Lock is gone"})
    wait_until_pending(system, len(dead) - 1)
    system.sql(MOVE_INTO_THE_PAST)


def wait_until_pending(system: WholeSystem, count: int) -> None:
    """Wait until so many payments remain pending."""
    query = "SELECT count(*) FROM payments WHERE settled_at IS NULL"
    while system.sql(query) != str(count):
        system.sql("SELECT pg_sleep(0.05)")


def post(system: WholeSystem, path: str, body: object) -> None:
    """POST to the API, without the page."""
    request = urllib.request.Request(
        system.api_url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()
