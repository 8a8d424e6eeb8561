"""The rules that settle a payment: pure functions of its amount, without clock, database or chance.

A changed rule gets a new RULE_VERSION, and the old function stays: each result records the version
that decided it, and the auditor applies that version again. The auditor treats an unknown version
as a broken result, so release the auditor's part of a new version before the worker uses it.
"""

from dataclasses import dataclass
from decimal import Decimal

RULE_VERSION = 1

DISCREPANCY_FRACTION = Decimal("0.13")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A payment's new status, and the reconciliation result that explains it."""

    payment_status: str  # completed | failed
    result_status: str  # completed | completed_with_discrepancy | failed
    matched: bool
    discrepancy_amount: Decimal | None
    notes: str


NEGATIVE = Outcome("failed", "failed", False, None, "Negative amount not allowed")
ZERO = Outcome("failed", "failed", False, None, "Zero amount not allowed")
DISCREPANCY = Outcome(
    "completed",
    "completed_with_discrepancy",
    False,
    DISCREPANCY_FRACTION,
    "Discrepancy of 0.13 detected",
)
MATCHED = Outcome("completed", "completed", True, None, "Reconciled")
# Of a reversal: the database has reserved its amount when it was created.
REVERSED = Outcome("completed", "completed", True, None, "Reversed")


def decide(amount: Decimal) -> Outcome:
    """Return the outcome for a payment of this amount, by the current version of the rules."""
    if amount < 0:
        return NEGATIVE
    if amount == 0:
        return ZERO
    if amount % 1 == DISCREPANCY_FRACTION:
        return DISCREPANCY
    return MATCHED
