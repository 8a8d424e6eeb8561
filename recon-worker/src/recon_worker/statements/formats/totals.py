"""The totals of a statement while its lines pass, and whether they close its balances."""

from decimal import Decimal

from recon_worker.statements.formats.model import StatementLine


class Totals:
    """The net of the booked lines, and of those among them that are marked as reversals."""

    def __init__(self) -> None:
        self.net = Decimal(0)
        self._reversals = Decimal(0)
        self.flipped = False

    def add(self, line: StatementLine) -> None:
        """Count the line if it is booked."""
        if line.booking != "booked":
            return
        self.net += line.amount
        if line.reversal:
            self._reversals += line.amount

    def problem(
        self, opening: Decimal | None, closing: Decimal | None, *, may_flip: bool = False
    ) -> str | None:
        """Return None if opening + net = closing, or if no balance can show it; else the gap.

        If may_flip and only the opposite sign of all reversals closes the balances, flip them.
        """
        if opening is None or closing is None:
            return None
        gap = closing - opening - self.net
        if gap == 0:
            return None
        if may_flip and self._reversals and gap == -2 * self._reversals:
            self.net -= 2 * self._reversals
            self.flipped = True
            return None
        return (
            f"opening {opening} and booked lines {self.net} make {opening + self.net}, but the "
            f"closing balance is {closing}: {gap} is not explained"
        )
