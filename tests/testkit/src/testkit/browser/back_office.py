"""A bank with statements and webhook endpoints with deliveries, as in use, for screenshots."""

import urllib.request
from datetime import UTC, datetime, timedelta

from testkit.browser.actions import add_bank, invoice, wait_until_matched, wait_until_settled
from testkit.browser.whole_system import WholeSystem
from testkit.camt_files import Day, Entry, camt053

BANK = "hausbank-eur"
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
INVOICES = {"INV-2041": "1250.00", "INV-2042": "89.90", "INV-2043": "410.00", "INV-2044": "75.50"}
LINES = (
    Entry("1250.00", YESTERDAY, "INV-2041", "Acme GmbH, invoice 2041"),
    Entry("89.90", YESTERDAY, "INV-2O42", "Orchid Foods, invoice 2042"),
    Entry("405.00", YESTERDAY, "INV-2043", "Northwind, invoice 2043 less charges"),
    Entry("-4.90", YESTERDAY, None, "Account fee, November"),
)
# Without the guard of endpoints: behind the end of the log, these are sent no event.
SQL_WEBHOOKS = """
SET session_replication_role = replica;
INSERT INTO webhook_endpoints (id, url, description, after_position, enabled_at, failing_since)
VALUES ('01936f5e-0000-7000-8000-00000000000a', 'https://hooks.acme.example/payments',
        'Order system of Acme', 1::bigint << 60, now() - interval '9 days',
        now() - interval '4 days'),
       ('01936f5e-0000-7000-8000-00000000000b', 'https://erp.northwind.example/in',
        'Accounting', 1::bigint << 60, now() - interval '30 days', NULL);
RESET session_replication_role;
CREATE TEMP TABLE drawn AS
SELECT n, now() - interval '3 days' - n * interval '5 hours' AS at, n <= 4 AS failed
FROM generate_series(1, 12) AS n;
INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, body, status, attempts,
                                created_at, finished_at)
SELECT ('01936f5e-0000-7000-8000-' || lpad(to_hex(300 - n), 12, '0'))::uuid,
       '01936f5e-0000-7000-8000-00000000000a', 300 - n, 'evt_' || md5(n::text),
       'payment.completed',
       json_build_object('type', 'payment.completed', 'data', json_build_object('id', md5(n::text),
           'accountId', 'acme-gmbh', 'amount', n || '.00', 'currency', 'USD'))::text,
       CASE WHEN failed THEN 'failed' ELSE 'delivered' END, CASE WHEN failed THEN 12 ELSE 1 END,
       at, at + CASE WHEN failed THEN interval '3 days' ELSE interval '1 second' END
FROM drawn;
INSERT INTO webhook_attempts (delivery_id, number, started_at, duration_seconds, status_code,
                              answer)
SELECT id, number, created_at + number * interval '6 hours', 0.184,
       CASE WHEN status = 'failed' THEN 503 ELSE 204 END,
       CASE WHEN status = 'failed' THEN '{"error": "down for maintenance"}' ELSE '' END
FROM webhook_deliveries, generate_series(1, attempts) AS number
"""
WEBHOOK = "/webhooks/01936f5e-0000-7000-8000-00000000000a"
DELIVERY = "/webhooks/deliveries/01936f5e-0000-7000-8000-00000000012b"


def make_bank(system: WholeSystem) -> None:
    """Import a statement with breaks, and a file that does not add up."""
    add_bank(system, BANK)
    for reference, amount in INVOICES.items():
        invoice(system, BANK, reference, amount)
    wait_until_settled(system, BANK)
    _upload(system, camt053(Day(LINES, from_on=YESTERDAY)))
    wait_until_matched(system, BANK)
    wrong = Day(LINES[:1], from_on=YESTERDAY, closing="1.00", bank_id="S2")
    _upload(system, camt053(wrong, message_id="M2"))


def make_webhooks(system: WholeSystem) -> None:
    """Store two endpoints: one answers 503, one works."""
    system.sql(SQL_WEBHOOKS)


def a_break(system: WholeSystem) -> str:
    """Return the path of the break with a typo in its reference."""
    found = system.sql("SELECT id FROM recon_breaks WHERE side = 'line' AND amount = 89.90")
    return f"/statements/{BANK}/breaks/{found}"


def quarantined_file(system: WholeSystem) -> str:
    """Return the path of the file that does not add up, once it is quarantined."""
    query = "SELECT id FROM statement_files WHERE status = 'quarantined'"
    while not (found := system.sql(query)):
        system.sql("SELECT pg_sleep(0.1)")
    return f"/statements/{BANK}/files/{found}"


def _upload(system: WholeSystem, data: bytes) -> None:
    url = f"{system.api_url}/statements?source={BANK}"
    urllib.request.urlopen(urllib.request.Request(url, data), timeout=30).close()
