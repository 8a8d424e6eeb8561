"""The SQL of open entries and open lines, and of the reference by which they are compared.

Open entries are the clearing legs of a source's channel, with amount, reference and day.
"""

from payments_core.db.tables import one_of
from payments_core.domain.statements import OPEN_LINE_STATUSES

# A line that a rule or a person may match. The partial indexes have the same condition.
OPEN_LINE = f"{one_of('status', OPEN_LINE_STATUSES)} AND booking = 'booked'"


def open_line(alias: str) -> str:
    """Return the condition of an open line for a table with an alias."""
    return OPEN_LINE.replace("status IN", f"{alias}.status IN").replace(
        "booking =", f"{alias}.booking ="
    )


def match_key(reference: str) -> str:
    """Return SQL for a reference as it is compared: an id without hyphens, in lower case.

    A payment's id has 36 characters with its hyphens, and a bank's reference 35 at most. The
    indexes over open lines hold the same expression.
    """
    bare = f"replace({reference}, '-', '')"
    return (
        f"CASE WHEN length({bare}) = 32 AND {reference} ~* '^[0-9a-f-]+$'"
        f" THEN lower({bare}) ELSE {reference} END"
    )


COLUMNS = "entry_id, source_id, payment_id, amount, currency, reference, booked_on, break_on"

# A reversal has a reference and an id of its own. An adjustment is of no payment; its reference is
# its id. OFFSET 0 keeps one look-up for each entry: joined plainly, a table that was small when it
# was analyzed is read whole for each.
TABLES = """ledger_entries AS entry
    LEFT JOIN LATERAL (
        SELECT account_id, source, reference, id FROM payments
        WHERE payments.id = entry.payment_id OFFSET 0
    ) AS payment ON true
    LEFT JOIN LATERAL (
        SELECT reference, id FROM reversals WHERE reversals.id = entry.reversal_id OFFSET 0
    ) AS reversal ON true"""
_REFERENCE = (
    "coalesce(reversal.reference, reversal.id::text, payment.reference, entry.payment_id::text)"
)

# The columns of an entry in TABLES, for the caller's `source`. A clearing debit is money in, a
# clearing credit money out.
ROW = f"""
    entry.id, source.id, entry.payment_id,
    CASE entry.direction WHEN 'debit' THEN entry.amount ELSE -entry.amount END,
    entry.currency,
    {match_key(_REFERENCE)},
    (entry.created_at AT TIME ZONE source.time_zone)::date,
    (entry.created_at AT TIME ZONE source.time_zone)::date + source.grace_days"""

_TENANT = (
    "CASE WHEN strpos(payment.account_id, '~') > 0 THEN split_part(payment.account_id, '~', 1) END"
)
# Whether a `payment` is of the tenant of a `source`, or of one without a source of its own.
OF_TENANT = f"""
    CASE WHEN source.tenant IS NULL THEN NOT EXISTS (
            SELECT FROM recon_sources AS other JOIN recon_cuts AS own ON own.source_id = other.id
            WHERE other.tenant = {_TENANT}
              AND (other.channel, other.currency) = (source.channel, source.currency))
        ELSE {_TENANT} IS NOT DISTINCT FROM source.tenant END"""
