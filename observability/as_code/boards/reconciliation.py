"""Reconciliation: whether the statements of banks agree with the books, and what is open."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines
from as_code.queries import percentiles, rate

DAY = 86400

RECONCILIATION = board(
    "reconciliation",
    "Reconciliation",
    "Whether the statements of banks and providers agree with the books, and what is open.",
    (
        (
            "Now",
            (
                figure(
                    "Residual",
                    "What the bridges leave over, in the currency with most. Above 0 is an "
                    "incident: docs/runbooks/reconciliation-residual.md.",
                    "none",
                    Query("max(max by (currency) (recon_residual_amount))", "residual"),
                    ((None, GREEN), (0.0001, RED)),
                ),
                figure(
                    "Oldest break",
                    "Time since its booking: docs/runbooks/breaks-too-old.md.",
                    "s",
                    Query("max(recon_oldest_break_age_seconds)", "age"),
                    ((None, GREEN), (7 * DAY, YELLOW), (30 * DAY, RED)),
                ),
                figure(
                    "Open breaks",
                    "Lines and entries past their days of grace.",
                    "short",
                    Query("sum(max by (class) (recon_breaks))", "breaks"),
                ),
                figure(
                    "Matched by rules",
                    "Share of the lines received in the last seven days. A fall means that "
                    "references are lost or mistyped.",
                    "percentunit",
                    Query("max(recon_auto_matched_ratio)", "matched"),
                    ((None, RED), (0.8, YELLOW), (0.95, GREEN)),
                ),
                figure(
                    "Files in quarantine",
                    "Each waits for an operator: docs/runbooks/statements-quarantined.md.",
                    "short",
                    Query("max(recon_statement_files_quarantined)", "files"),
                    ((None, GREEN), (1, YELLOW)),
                ),
                figure(
                    "Longest without a statement",
                    "Of all sources: docs/runbooks/statements-late.md.",
                    "s",
                    Query("max(recon_statement_age_seconds)", "age"),
                    ((None, GREEN), (3 * DAY, YELLOW), (4.5 * DAY, RED)),
                ),
            ),
        ),
        (
            "Sources",
            (
                lines(
                    "Sources, by verdict",
                    "The verdict of each source's last run; incomplete: a statement is missing.",
                    "short",
                    Query("max by (verdict) (recon_sources)", "{{verdict}}"),
                    stacked=True,
                ),
                lines(
                    "Time since the last statement",
                    "Of the 20 sources that wait longest. A day's sawtooth is normal.",
                    "s",
                    Query("max by (source) (recon_statement_age_seconds)", "{{source}}"),
                ),
            ),
        ),
        (
            "What is open",
            (
                lines(
                    "Open lines, by status",
                    "suggested: a rule found one candidate that a person should check.",
                    "short",
                    Query("max by (status) (recon_statement_lines)", "{{status}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Breaks, by class",
                    "bank_only: a line without an entry; missing_in_bank: an entry without a line.",
                    "short",
                    Query("max by (class) (recon_breaks)", "{{class}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Unmatched amount",
                    "Absolute amounts of open lines, and of entries that are missing in the bank.",
                    "none",
                    Query(
                        "max by (side, currency) (recon_unmatched_amount)", "{{currency}} {{side}}"
                    ),
                    width=8,
                ),
            ),
        ),
        (
            "Adjustments",
            (
                lines(
                    "Adjustments that wait, by status",
                    "proposed: for another person; approved: for the worker, within seconds.",
                    "short",
                    Query("max by (status) (recon_adjustments)", "{{status}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Oldest adjustment that waits",
                    "Since its proposal, or its approval: docs/runbooks/adjustments-wait.md.",
                    "s",
                    Query("max by (status) (recon_oldest_adjustment_age_seconds)", "{{status}}"),
                    width=8,
                ),
                lines(
                    "Adjustments per second, by outcome",
                    "Decided over HTTP, and settled by workers. failed: an item was taken first.",
                    "ops",
                    Query(rate("adjustments_decided_total", "decision"), "{{decision}}"),
                    Query(rate("recon_adjustments_settled_total", "status"), "{{status}}"),
                    width=8,
                ),
            ),
        ),
        (
            "Imports and runs",
            (
                lines(
                    "Statement files imported per second, by outcome",
                    "A quarantined file is stored, and none of its lines count.",
                    "ops",
                    Query(rate("recon_statement_files_imported_total", "outcome"), "{{outcome}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Runs of the matching per second, by end",
                    "Each hour and after each import. failed: docs/runbooks/matching-fails.md.",
                    "ops",
                    Query(rate("recon_matching_runs_total", "end"), "{{end}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Time for a run",
                    "It grows with the open items, not with the history.",
                    "s",
                    *percentiles("recon_matching_run_duration_seconds_bucket"),
                    width=8,
                ),
            ),
        ),
    ),
)
