"""An invariant: a query that returns the rows that violate it."""

from dataclasses import dataclass
from enum import StrEnum

from payments_core.db.tables import one_of
from payments_core.domain.invariants import INVARIANT_TITLES
from payments_core.domain.statuses import SETTLED_STATUSES

PAYMENTS_BETWEEN = "p.id > :lo AND p.id <= :hi"
SETTLED = one_of("status", SETTLED_STATUSES)
# sys:clearing:SHARD is of the default source, sys:clearing:SOURCE:SHARD of another one.
SOURCE_OF_CLEARING = """CASE split_part(e.account_id, ':', 4) WHEN '' THEN 'default'
    ELSE split_part(e.account_id, ':', 3) END"""

OFFENDERS_SHOWN_MAX = 20  # A badly broken ledger must not be printed in full.


class Window(StrEnum):
    """The table whose ids bound an invariant's query; NONE is for small tables, checked whole."""

    ENTRIES = "ledger_entries"
    RESULTS = "reconciliation_results"
    PAYMENTS = "payments"
    MATCHES = "recon_matches"
    JOBS = "recon_jobs"  # No invariant's window: it leads the auditor to late payments.
    FILES = "statement_files"  # No bookmark: an incremental audit reads those of the last hour.
    LINES = "statement_lines"
    ADJUSTMENTS = "recon_adjustments"  # As FILES.
    DEATHS = "job_deaths"  # As FILES.
    DISABLINGS = "webhook_disablings"  # As FILES.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A check; `name` is the metric's label, `full_query` runs in a full audit only."""

    name: str
    window: Window
    query: str
    full_query: str | None = None

    @property
    def title(self) -> str:
        """Return the invariant in a sentence."""
        return INVARIANT_TITLES[self.name]

    @property
    def query_of_ids(self) -> str:
        """Return the query over the payments in `:ids`, if the window is payments."""
        return self.query.replace(PAYMENTS_BETWEEN, "p.id = ANY (CAST(:ids AS uuid[]))")
