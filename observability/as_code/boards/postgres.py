"""Postgres: how the database serves the queue and the ledger."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines

POSTGRES = board(
    "postgres",
    "Postgres",
    "How the database serves the queue and the ledger, by the services' own metrics.",
    (
        (
            "Causes of a slow queue",
            (
                lines(
                    "Oldest open transaction",
                    "Vacuum cannot remove rows that died since it began: the usual cause of a slow "
                    "queue in Postgres.",
                    "s",
                    Query("max(payments_postgres_oldest_transaction_age_seconds)", "age"),
                    width=8,
                ),
                lines(
                    "Dead rows",
                    "Autovacuum removes them regularly.",
                    "short",
                    Query("max by (table) (payments_postgres_table_dead_rows)", "{{table}}"),
                    width=8,
                ),
                lines(
                    "Size of tables",
                    "Including indexes and TOAST.",
                    "bytes",
                    Query("max by (table) (payments_postgres_table_bytes)", "{{table}}"),
                    width=8,
                    stacked=True,
                ),
            ),
        ),
        (
            "Work",
            (
                lines(
                    "Transactions per second",
                    "A few rollbacks are normal.",
                    "ops",
                    Query(
                        "max by (end) (rate(payments_postgres_transactions_total"
                        "[$__rate_interval]))",
                        "{{end}}",
                    ),
                    width=8,
                ),
                lines(
                    "Blocks found in the cache",
                    "Share of all blocks read. Below 99 % the working set outgrows memory.",
                    "percentunit",
                    Query(
                        "max(rate(payments_postgres_blocks_read_total"
                        '{source="cache"}[$__rate_interval]))'
                        " / sum(max by (source) (rate(payments_postgres_blocks_read_total"
                        "[$__rate_interval])))",
                        "from cache",
                    ),
                    width=8,
                ),
                lines(
                    "Deadlocks per second",
                    "None expected: row locks are taken in one order.",
                    "ops",
                    Query(
                        "max(rate(payments_postgres_deadlocks_total[$__rate_interval]))",
                        "deadlocks",
                    ),
                    width=8,
                ),
            ),
        ),
        (
            "Connections",
            (
                lines(
                    "Connections to the database",
                    "All clients, including others than these services.",
                    "short",
                    Query("max(payments_postgres_backends)", "connections"),
                    width=6,
                ),
                lines(
                    "Connections in use, by service",
                    "In each service's pool.",
                    "short",
                    Query('sum by (job) (db_pool_connections{state="used"})', "{{job}}"),
                    width=6,
                ),
                lines(
                    "Cost of observing",
                    "The time to read these figures, every five seconds.",
                    "s",
                    Query("max(payments_observing_seconds)", "seconds"),
                    width=6,
                ),
                lines(
                    "Clock ahead of the database's",
                    "By API process. Beyond ten minutes, filters on time hide payments.",
                    "s",
                    Query("payments_clock_offset_seconds", "{{instance}}"),
                    width=6,
                ),
            ),
        ),
        (
            "Safety",
            (
                figure(
                    "Since the last backup",
                    "Before the first: since the oldest payment. docs/runbooks/backup-too-old.md.",
                    "s",
                    Query(
                        "time() - max("
                        "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp > 0)"
                        " or max(payments_backup_age_seconds)",
                        "age",
                    ),
                    ((None, GREEN), (86_400, YELLOW), (93_600, RED)),
                    width=12,
                ),
                figure(
                    "Order of the indexes",
                    "The version of the collation; docs/runbooks/collation-changed.md.",
                    "short",
                    Query("min(payments_postgres_collation_matches)", "collation"),
                    ((None, RED), (1, GREEN)),
                    width=12,
                    texts={"0": "another version", "1": "as the server's"},
                ),
            ),
        ),
    ),
)
