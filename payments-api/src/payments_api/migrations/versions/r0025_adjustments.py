"""Adjustments: postings for lines that no entry of ours explains, approved by a second person.

Safe beside the running release: a new table, and legs of a kind that the running release never
posts. Its auditor reports them as entries without a payment.

Revision ID: 0025
Revises: 0024
"""

from alembic import op

from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH
from payments_api.migrations.versions.r0013_least_columns import BACK_DATED
from payments_api.migrations.versions.r0021_matching import ACTIONS
from payments_api.migrations.versions.r0022_reversals import (
    ENTRY_CHECKS,
    POSTED_REVERSALS,
    STRAY_POSTING,
)
from payments_api.migrations.versions.r0023_webhooks import WEBHOOK_ACTIONS

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
READERS = "payments_api, payments_worker, payments_readonly"

TABLE = """
CREATE TABLE recon_adjustments (
    id uuid CONSTRAINT recon_adjustments_pkey PRIMARY KEY,
    source_id bigint NOT NULL
        CONSTRAINT recon_adjustments_source_id_fkey REFERENCES recon_sources (id),
    line_id bigint NOT NULL,
    entry_ids bigint[] NOT NULL DEFAULT '{}',
    kind text NOT NULL,
    amount numeric NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'proposed',
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_by text,
    decided_at timestamptz,
    decision_reason text,
    settled_at timestamptz,
    failure text,
    CONSTRAINT adjustment_kind_known CHECK (kind IN
        ('fee', 'exchange_difference', 'rounding', 'write_off', 'suspense')),
    CONSTRAINT adjustment_has_an_amount CHECK (amount <> 0 AND abs(amount) < 1e15),
    CONSTRAINT adjustment_amount_needs_no_rounding CHECK (scale(amount) <= 4),
    CONSTRAINT adjustment_has_at_most_98_entries CHECK (cardinality(entry_ids) <= 98),
    CONSTRAINT adjustment_has_a_reason CHECK (
        length(reason) BETWEEN 1 AND 500 AND length(decision_reason) <= 1000),
    CONSTRAINT adjustment_status_known CHECK (status IN
        ('proposed', 'approved', 'rejected', 'posted', 'failed')),
    CONSTRAINT adjustment_people_are_named CHECK (
        length(proposed_by) BETWEEN 1 AND 200 AND length(decided_by) BETWEEN 1 AND 200),
    CONSTRAINT approver_is_another_person CHECK (
        status IN ('proposed', 'rejected') OR lower(decided_by) <> lower(proposed_by)),
    CONSTRAINT decided_adjustment_has_an_actor CHECK (num_nulls(decided_by, decided_at)
        = CASE status WHEN 'proposed' THEN 2 ELSE 0 END
        AND (decision_reason IS NULL OR status <> 'proposed')),
    CONSTRAINT settled_adjustment_has_a_time CHECK (
        (status IN ('posted', 'failed')) = (settled_at IS NOT NULL)
        AND (status = 'failed') = (failure IS NOT NULL))
)"""
INDEXES = (
    "CREATE UNIQUE INDEX recon_adjustments_of_a_line_once ON recon_adjustments (line_id)"
    " WHERE status IN ('proposed', 'approved')",
    "CREATE INDEX recon_adjustments_by_source ON recon_adjustments (source_id, id)",
)

# Each status follows one other; both people and what they agreed on never change.
IMMUTABLE = "id, source_id, line_id, entry_ids, kind, amount, reason, proposed_by, proposed_at"
DECISION = "decided_by, decided_at, decision_reason"


def _changed(columns: str) -> str:
    old, new = (
        ", ".join(f"{row}.{column.strip()}" for column in columns.split(","))
        for row in ("OLD", "NEW")
    )
    return f"({old}) IS DISTINCT FROM ({new})"


# A posted or failed adjustment has `settled_at`, which the worker alone may write.
TRIGGERS = (
    "CREATE TRIGGER recon_adjustments_keep_history AFTER UPDATE ON recon_adjustments FOR EACH ROW"
    f" WHEN ({_changed(IMMUTABLE)} OR OLD.status NOT IN ('proposed', 'approved')"
    " OR (OLD.status, NEW.status) NOT IN (('proposed', 'approved'), ('proposed', 'rejected'),"
    " ('approved', 'posted'), ('approved', 'failed'))"
    f" OR OLD.status = 'approved' AND {_changed(DECISION)})"
    " EXECUTE FUNCTION public.refuse_change()",
    "CREATE TRIGGER recon_adjustments_never_deleted BEFORE DELETE ON recon_adjustments"
    " FOR EACH ROW EXECUTE FUNCTION public.refuse_change()",
    "CREATE TRIGGER recon_adjustments_never_truncated BEFORE TRUNCATE ON recon_adjustments"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()",
)

# The legs of an adjustment have its id in `payment_id`.
ENTRY_CHECK = "legs_are_of_their_kind"
OF_ADJUSTMENTS = """
        OR posting_kind = 'adjustment' AND reversal_id IS NULL AND (
            entry_type = 'adjustment' AND account_id LIKE 'sys:adjustment:%'
            OR entry_type = 'clearing' AND account_id LIKE 'sys:clearing:%')"""
POSTED_ADJUSTMENTS = """
    SELECT leg.payment_id INTO broken FROM posted AS leg
    WHERE leg.entry_type = 'adjustment' AND NOT EXISTS (
        SELECT FROM public.recon_adjustments AS adjustment
        JOIN public.recon_sources AS source ON source.id = adjustment.source_id
        WHERE adjustment.id = leg.payment_id AND adjustment.status = 'posted'
            AND adjustment.amount
                = CASE leg.direction WHEN 'credit' THEN leg.amount ELSE -leg.amount END
            AND leg.account_id = 'sys:adjustment:' || adjustment.kind
            AND leg.currency = source.currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'adjustment % is not posted with this kind, currency and amount', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'postings_are_of_adjustments',
                  HINT = 'Post an approved adjustment; its posting says what it says.';
    END IF;"""
CURRENCIES = "        OR min(currency) <> max(currency)\n"
KINDS = f"{CURRENCIES}        OR min(posting_kind) <> max(posting_kind)\n"

GRANTS = (
    f"GRANT SELECT ON recon_adjustments TO {READERS}",
    "GRANT INSERT (id, source_id, line_id, entry_ids, kind, amount, reason, proposed_by)"
    f" ON recon_adjustments TO {API}, {WORKER}",
    f"GRANT UPDATE (status, {DECISION}) ON recon_adjustments TO {API}, {WORKER}",
    f"GRANT UPDATE (settled_at, failure) ON recon_adjustments TO {WORKER}",
)
EARLIER_ACTIONS = (*ACTIONS, "reverse", *WEBHOOK_ACTIONS)
ADJUSTMENT_ACTIONS = ("propose_adjustment", "approve_adjustment", "reject_adjustment")

# The lock waits for open proposals and keeps new ones away: none commits after the question.
REFUSE_TO_FORGET = """
DO $$
BEGIN
    LOCK TABLE recon_adjustments IN SHARE MODE;
    IF EXISTS (SELECT FROM recon_adjustments) THEN
        RAISE EXCEPTION 'there are adjustments, which revision 0024 cannot hold: stay at 0025;'
            ' the release of 0024 serves on this schema'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""


def _stray_posting(*, adjustments: bool) -> str:
    function = STRAY_POSTING.format(
        path=SAFE_PATH,
        and_reversal=", reversal_id",
        reversals=POSTED_REVERSALS + (POSTED_ADJUSTMENTS if adjustments else ""),
        back_dated=BACK_DATED,
    )
    return function.replace(CURRENCIES, KINDS) if adjustments else function


def _legs(condition: str) -> None:
    op.execute(f"ALTER TABLE ledger_entries DROP CONSTRAINT {ENTRY_CHECK}")
    added = f"ADD CONSTRAINT {ENTRY_CHECK} CHECK ({condition}) NOT VALID"
    op.execute(f"ALTER TABLE ledger_entries {added}")


def _actions(actions: tuple[str, ...]) -> str:
    known = ", ".join(f"'{action}'" for action in actions)
    check = f"ADD CONSTRAINT action_known CHECK (action IN ({known})) NOT VALID"
    return f"ALTER TABLE operator_actions DROP CONSTRAINT action_known, {check}"


def upgrade() -> None:
    """Create the table with its guards, and let the ledger hold postings of it."""
    for statement in (TABLE, *INDEXES, *TRIGGERS):
        op.execute(statement)
    op.execute("ALTER TABLE recon_adjustments OWNER TO payments_owner")
    _legs(ENTRY_CHECKS[ENTRY_CHECK] + OF_ADJUSTMENTS)
    op.execute(_stray_posting(adjustments=True))
    op.execute(_actions((*EARLIER_ACTIONS, *ADJUSTMENT_ACTIONS)))
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Drop all of it. Fails if there are adjustments: their postings are part of the balances."""
    op.execute(REFUSE_TO_FORGET)
    op.execute(_actions(EARLIER_ACTIONS))
    op.execute(_stray_posting(adjustments=False))
    _legs(ENTRY_CHECKS[ENTRY_CHECK])
    op.execute("DROP TABLE recon_adjustments")
