"""Postgres: what the queue and the ledger need of their database."""

from as_code.panels import Query, board, lines

POSTGRES = board(
    "postgres",
    "Postgres",
    "What the queue and the ledger need of their database, from our own figures.",
    (
        (
            "What slows a queue down",
            (
                lines(
                    "Oldest open transaction",
                    "Rows that died since it began cannot be vacuumed: the usual reason why a "
                    "queue in Postgres becomes slow.",
                    "s",
                    Query("max(payments_postgres_oldest_transaction_age_seconds)", "age"),
                    width=8,
                ),
                lines(
                    "Dead rows",
                    "Autovacuum brings them down again and again.",
                    "short",
                    Query("max by (table) (payments_postgres_table_dead_rows)", "{{table}}"),
                    width=8,
                ),
                lines(
                    "Size of tables",
                    "With indexes and TOAST.",
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
                    "A rollback is an attempt that was undone; a few are normal.",
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
                    "Row locks are taken in one order, so none is expected.",
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
                    "All clients, ours or not.",
                    "short",
                    Query("max(payments_postgres_backends)", "connections"),
                    width=8,
                ),
                lines(
                    "Connections in use, by service",
                    "Of each service's own pool.",
                    "short",
                    Query('sum by (job) (db_pool_connections{state="used"})', "{{job}}"),
                    width=8,
                ),
                lines(
                    "Cost of observing",
                    "What reading these figures takes, every five seconds.",
                    "s",
                    Query("max(payments_observing_seconds)", "seconds"),
                    width=8,
                ),
            ),
        ),
    ),
)
