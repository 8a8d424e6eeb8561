"""Ledger health: whether the books are correct."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines
from as_code.queries import rate

LEDGER = board(
    "ledger-health",
    "Ledger health",
    "Whether the books are correct, and when that was last verified.",
    (
        (
            "Now",
            (
                figure(
                    "Broken invariants",
                    "Any value above 0 is an incident: docs/runbooks/ledger-invariant-broken.md.",
                    "short",
                    Query("count(payments_ledger_invariant_holds == 0) or vector(0)", "broken"),
                    ((None, GREEN), (1, RED)),
                    width=6,
                ),
                figure(
                    "Since the last audit",
                    "One worker audits new entries every minute.",
                    "s",
                    Query("time() - max(payments_audit_last_timestamp_seconds)", "age"),
                    ((None, GREEN), (180, YELLOW), (600, RED)),
                    width=6,
                ),
                figure(
                    "Entries not audited yet",
                    "Entries posted since the last audit.",
                    "short",
                    Query("max(payments_ledger_unaudited_entries)", "entries"),
                    width=6,
                ),
                figure(
                    "Ledger entries",
                    "Two for each completed payment; estimated by Postgres.",
                    "short",
                    Query(
                        'max(payments_postgres_table_live_rows{table="ledger_entries"})', "entries"
                    ),
                    width=6,
                ),
            ),
        ),
        (
            "Invariants",
            (
                figure(
                    "Each invariant",
                    "By the last audit. A broken invariant stays red until a full audit.",
                    "short",
                    Query("min by (invariant) (payments_ledger_invariant_holds)", "{{invariant}}"),
                    ((None, RED), (1, GREEN)),
                    width=24,
                    texts={"0": "broken", "1": "holds"},
                ),
            ),
        ),
        (
            "Seals",
            (
                figure(
                    "Chain of seals",
                    "Broken is an incident: docs/runbooks/ledger-seal-broken.md.",
                    "short",
                    Query("min(payments_ledger_seals_hold)", "chain"),
                    ((None, RED), (1, GREEN)),
                    width=6,
                    texts={"0": "broken", "1": "holds"},
                ),
                figure(
                    "Unsealed backlog",
                    "Entries that no seal covers yet: the chain cannot show a change to them.",
                    "short",
                    Query("max(payments_ledger_unsealed_entries)", "entries"),
                    width=6,
                ),
                figure(
                    "Oldest unsealed entry",
                    "A few seconds are normal; docs/runbooks/sealing-stale.md.",
                    "s",
                    Query("max(payments_ledger_unsealed_age_seconds)", "age"),
                    ((None, GREEN), (60, YELLOW), (600, RED)),
                    width=6,
                ),
                figure(
                    "Since all seals were verified",
                    "The workers verify the whole chain continuously, at a limited rate.",
                    "s",
                    Query("time() - max(recon_worker_seal_verified_timestamp_seconds > 0)", "age"),
                    width=6,
                ),
                lines(
                    "Unsealed backlog",
                    "Drops with every seal.",
                    "short",
                    Query("max(payments_ledger_unsealed_entries)", "entries"),
                    width=8,
                ),
                lines(
                    "Entries sealed and verified per second",
                    "Sealing follows posting; a setting limits verification.",
                    "ops",
                    Query("sum(rate(recon_worker_seal_entries_total[$__rate_interval]))", "sealed"),
                    Query(
                        "sum(rate(recon_worker_seal_verified_entries_total[$__rate_interval]))",
                        "verified",
                    ),
                    width=8,
                ),
                lines(
                    "Seals",
                    "The number of the last seal, and of the last one verified in this pass.",
                    "short",
                    Query("max(recon_worker_seal_head_seq)", "last"),
                    Query("max(recon_worker_seal_verified_seq)", "verified"),
                    width=8,
                ),
            ),
        ),
        (
            "Over time",
            (
                lines(
                    "Since the last audit",
                    "A sawtooth of about a minute is normal.",
                    "s",
                    Query("time() - max(payments_audit_last_timestamp_seconds)", "age"),
                    width=8,
                ),
                lines(
                    "Entries not audited yet",
                    "Drops with every audit.",
                    "short",
                    Query("max(payments_ledger_unaudited_entries)", "entries"),
                    width=8,
                ),
                lines(
                    "Settled per second, by outcome",
                    "Only completed payments reach the ledger, with or without a discrepancy.",
                    "ops",
                    Query(rate("recon_payments_reconciled_total", "outcome"), "{{outcome}}"),
                    width=8,
                    stacked=True,
                ),
            ),
        ),
    ),
)
