"""The model of reversals: full, partial, repeated, too large, too early and concurrent."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, multiple, precondition, rule

from testkit.model.payments import DECIMALS, Paid, PaymentMachine, Recorded
from testkit.model.system import POISON

AT_ONCE = 4
SIZES = st.sampled_from(("remainder", "part", "least", "whole", "beyond"))
REASONS = st.sampled_from(("returned", "returned", POISON))


class ReversalMachine(PaymentMachine):
    """Clients reverse payments too."""

    reversal_keys = Bundle("reversal_keys")

    def __init__(self) -> None:
        super().__init__()
        self.reversals = 0

    def _new_key(self) -> str:
        self.reversals += 1
        return f"reversal-{self.reversals}"

    def _completed(self) -> list[Paid]:
        return [paid for paid in self.paid.values() if paid.status == "completed"]

    def _reversed(self, key: str) -> tuple[Paid, Recorded]:
        return next((p, p.reversals[key]) for p in self.paid.values() if key in p.reversals)

    def _post(self, paid: Paid, key: str, body: dict[str, str]) -> Any:
        return self.system.call("POST", f"/payments/{paid.id}/reversals", body, key)

    @precondition(lambda self: self._completed())
    @rule(target=reversal_keys, data=st.data(), size=SIZES, reason=REASONS)
    def reverse(self, data: st.DataObject, size: str, reason: str) -> MultipleResults[str]:
        """Reverse a completed payment; more than its remainder is rejected."""
        paid: Paid = data.draw(st.sampled_from(self._completed()))
        remainder = paid.amount - paid.reversed_in("pending", "completed")
        amount = _amount(paid, remainder, size)
        body = {"reason": reason}
        if size != "remainder":
            body["amount"] = str(amount)
        key = self._new_key()
        status, answer, headers = self._post(paid, key, body)
        if not 0 < amount <= remainder:
            assert (status, answer["code"]) == (409, "reversal_exceeds_payment")
            return multiple()
        assert status == 201, answer
        assert headers["Location"] == f"/reversals/{answer['id']}"
        assert Decimal(answer["amount"]) == amount
        assert (answer["paymentId"], answer["status"]) == (paid.id, "pending")
        assert (answer["accountId"], answer["currency"]) == paid.key
        paid.reversals[key] = Recorded(body, answer)
        return multiple(key)

    @precondition(lambda self: self._completed())
    @rule(target=reversal_keys, data=st.data(), size=SIZES, reason=REASONS)
    def reverse_at_once(self, data: st.DataObject, size: str, reason: str) -> MultipleResults[str]:
        """Reverse a payment by concurrent requests: as many as fit are accepted."""
        paid: Paid = data.draw(st.sampled_from(self._completed()))
        remainder = paid.amount - paid.reversed_in("pending", "completed")
        amount = _amount(paid, remainder, size)
        body = {"reason": reason, "amount": str(amount)}
        keys = [self._new_key() for _ in range(AT_ONCE)]
        path = f"/payments/{paid.id}/reversals"
        if amount <= 0:
            return multiple()  # The remainder of a payment that is reversed as a whole.
        answers = self.system.post_at_once(path, dict.fromkeys(keys, body))
        accepted = []
        for key, (status, answer, _) in zip(keys, answers, strict=True):
            if status == 201:
                paid.reversals[key] = Recorded(body, answer)
                accepted.append(key)
            else:
                assert (status, answer["code"]) == (409, "reversal_exceeds_payment")
        assert len(accepted) == min(AT_ONCE, remainder // amount)
        return multiple(*accepted)

    @precondition(lambda self: any(one.status != "completed" for one in self.paid.values()))
    @rule(data=st.data())
    def reverse_too_early_or_too_late(self, data: st.DataObject) -> None:
        """Reverse a payment that is not completed: pending, failed, or with a dead letter."""
        others = [paid for paid in self.paid.values() if paid.status != "completed"]
        paid: Paid = data.draw(st.sampled_from(others))
        status, answer, _ = self._post(paid, self._new_key(), {"reason": "returned"})
        assert (status, answer["code"]) == (409, "payment_not_completed")

    @rule(key=reversal_keys)
    def repeat_reversal(self, key: str) -> None:
        """Repeat a reversal's request: it has its first answer in any state of the reversal."""
        paid, one = self._reversed(key)
        status, answer, headers = self._post(paid, key, one.order)
        assert (status, answer) == (201, one.answer)
        assert headers["Idempotency-Replayed"] == "true"

    @rule(key=reversal_keys, data=st.data())
    def reuse_reversal_key(self, key: str, data: st.DataObject) -> None:
        """Send another reversal with a used key, of the same payment or of another."""
        paid, one = self._reversed(key)
        # In its currency: the amount's decimals are checked before the key.
        others = [other for other in self._completed() if other.key[1] == paid.key[1]]
        other: Paid = data.draw(st.sampled_from(others))
        body = one.order if other is not paid else {**one.order, "reason": "another"}
        status, answer, _ = self._post(other, key, body)
        assert (status, answer["code"]) == (422, "idempotency_key_reused")

    @rule(key=reversal_keys)
    def read_reversal(self, key: str) -> None:
        """Read a reversal, alone and in its payment's list."""
        paid, one = self._reversed(key)
        detail = self.system.get(f"/reversals/{one.id}")
        assert (detail["status"], detail["idempotencyKey"]) == (one.status, key)
        assert len(detail["ledgerEntries"]) == (2 if one.status == "completed" else 0)
        notes = {"pending": None, "completed": "Reversed", "failed": "Discarded by ann: a test"}
        assert detail["notes"] == notes[one.status]
        listed = self.system.get(f"/payments/{paid.id}/reversals?limit=100")["reversals"]
        assert detail in listed
        assert {each["id"] for each in listed} == {each.id for each in paid.reversals.values()}


def _amount(paid: Paid, remainder: Decimal, size: str) -> Decimal:
    """Return the amount of a reversal of this size."""
    unit = Decimal(1).scaleb(-DECIMALS[paid.order["currency"]])
    part = (paid.amount / 3).quantize(unit)
    return {
        "remainder": remainder,
        "part": max(part, unit),
        "least": unit,
        "whole": paid.amount,
        "beyond": remainder + unit,
    }[size]
