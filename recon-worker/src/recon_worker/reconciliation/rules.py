"""What becomes of a payment: pure functions of its amount. No clock, no database, no chance.

A rule that changes gets a new RULE_VERSION and keeps the old function beside it: results
say by which version they were decided, and the auditor decides each again by that version.
To the auditor a version that it does not know is a broken result, so release the auditor's
part of a new version before the worker decides by it.
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


def decide(amount: Decimal) -> Outcome:
    """The outcome of a payment of this amount, by the current version of the rules."""
    if amount < 0:
        return NEGATIVE
    if amount == 0:
        return ZERO
    if amount % 1 == DISCREPANCY_FRACTION:
        return DISCREPANCY
    return MATCHED
