"""The model of payments: actions of clients, workers and operators, and their expected effects.

The model is a dictionary in plain Python, written from the rules, not from the code.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from testkit.model.ledger import expected_result
from testkit.model.system import POISON, System

DECIMALS = {"USD": 2, "JPY": 0}
ACCOUNTS = ("a", "b", POISON)
SOURCES = ("default", "bank")

ORDERS = st.tuples(
    # The worker can settle payments of most accounts.
    st.sampled_from(("a", "b", "a", "b", POISON)),
    st.sampled_from(
        [("USD", amount) for amount in ("10.00", "5.13", "0.13", "0.00", "-1.00", "-5.13")]
        + [("JPY", amount) for amount in ("113", "13", "0", "-5")]
    ),
    st.sampled_from(SOURCES),
).map(
    lambda drawn: {
        "accountId": drawn[0],
        "currency": drawn[1][0],
        "amount": drawn[1][1],
        "source": drawn[2],
    }
)


@dataclass
class Recorded:
    """A payment or reversal in the model; `dead` while its job is a dead letter."""

    order: dict[str, str]
    answer: dict[str, Any]
    status: str = "pending"
    dead: bool = False
    deaths: int = 0

    @property
    def id(self) -> str:
        """The id in the API's answer."""
        return str(self.answer["id"])

    @property
    def amount(self) -> Decimal:
        """The amount in the API's answer."""
        return Decimal(self.answer["amount"])


@dataclass
class Paid(Recorded):
    """A payment and its reversals, by their idempotency keys."""

    reversals: dict[str, Recorded] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """The account and the currency."""
        return self.order["accountId"], self.order["currency"]

    def reversed_in(self, *statuses: str) -> Decimal:
        """Return the sum of its reversals in these statuses."""
        amounts = (one.amount for one in self.reversals.values() if one.status in statuses)
        return sum(amounts, Decimal(0))


class PaymentMachine(RuleBasedStateMachine):
    """Clients create and read payments, workers settle them, operators decide on dead letters."""

    system: ClassVar[System]
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.system.empty()
        self.paid: dict[str, Paid] = {}
        self.actions = 0
        self.events: Counter[tuple[str, ...]] = Counter()
        self.after = ""

    @rule(target=keys, order=ORDERS)
    def create(self, order: dict[str, str]) -> str:
        """Create a payment."""
        key = f"key-{len(self.paid)}"
        status, answer, _ = self.system.call("POST", "/payments", order, key)
        assert status == 201, answer
        self.paid[key] = Paid(order, answer)
        return key

    @rule(key=keys)
    def repeat(self, key: str) -> None:
        """Repeat a request: the answer is the first one."""
        paid = self.paid[key]
        status, answer, headers = self.system.call("POST", "/payments", paid.order, key)
        assert (status, answer) == (201, paid.answer)
        assert headers["Idempotency-Replayed"] == "true"

    @rule(key=keys)
    def reuse_for_another_amount(self, key: str) -> None:
        """Send another payment with a used key."""
        order = {**self.paid[key].order, "amount": "77"}
        status, answer, _ = self.system.call("POST", "/payments", order, key)
        assert (status, answer["code"]) == (422, "idempotency_key_reused")

    @rule(orders=st.lists(ORDERS, min_size=1, max_size=4), data=st.data())
    def create_batch(self, orders: list[dict[str, str]], data: st.DataObject) -> None:
        """Create several payments, and repeat one among them."""
        known = sorted(self.paid)
        items = {f"key-{len(known) + n}": order for n, order in enumerate(orders)}
        if known:
            key = data.draw(st.sampled_from(known))
            items[key] = self.paid[key].order
        body = [{"idempotencyKey": key, **order} for key, order in items.items()]
        status, answer, _ = self.system.call("POST", "/payments/batch", {"payments": body})
        assert status == 200
        for (key, order), one in zip(items.items(), answer["payments"], strict=True):
            assert one["replayed"] == (key in self.paid)
            self.paid.setdefault(key, Paid(order, one["payment"]))
            assert one["payment"] == self.paid[key].answer

    @rule(workers=st.integers(1, 3))
    def work(self, workers: int) -> None:
        """Let workers settle every job that they can."""
        self.system.work(workers)
        for one in self.recorded():
            if one.status != "pending" or one.dead:
                continue
            if POISON in one.order.values():
                one.dead, one.deaths = True, one.deaths + 1
            else:
                failed = isinstance(one, Paid) and expected_result(one.amount) == "failed"
                one.status = "failed" if failed else "completed"

    def recorded(self) -> list[Recorded]:
        """Return every payment and reversal: each has a job."""
        return [one for paid in self.paid.values() for one in (paid, *paid.reversals.values())]

    def dead(self) -> list[Recorded]:
        """Return the payments and reversals with a dead letter."""
        return [one for one in self.recorded() if one.dead]

    def act(self, one: Recorded, action: str) -> None:
        """Replay or discard a dead letter; the second attempt is rejected."""
        subject = "paymentId" if isinstance(one, Paid) else "reversalId"
        jobs = self.system.get("/jobs?status=failed&limit=100")["jobs"]
        (job,) = (
            job
            for job in jobs
            if job[subject] == one.id and (job["reversalId"] is None) == isinstance(one, Paid)
        )
        body = {"actor": "ann", "reason": "a test"}
        status, answer, _ = self.system.call("POST", f"/jobs/{job['id']}/{action}", body)
        assert status == 200, answer
        again, problem, _ = self.system.call("POST", f"/jobs/{job['id']}/{action}", body)
        assert (again, problem["code"]) == (409, "job_not_dead")
        one.dead = False
        self.actions += 1

    @precondition(lambda self: self.dead())
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        """Discard a dead letter: its payment or reversal fails."""
        one: Recorded = data.draw(st.sampled_from(self.dead()))
        self.act(one, "discard")
        one.status = "failed"

    @precondition(lambda self: self.dead())
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Replay a dead letter."""
        self.act(data.draw(st.sampled_from(self.dead())), "replay")

    @rule(key=keys)
    def read_one(self, key: str) -> None:
        """Read a payment."""
        paid = self.paid[key]
        detail = self.system.get(f"/payments/{paid.id}")
        assert detail["status"] == paid.status
        assert len(detail["ledgerEntries"]) == (2 if paid.status == "completed" else 0)
        assert (detail["reconciliation"] is None) == (paid.status == "pending")
        assert Decimal(detail["reversedAmount"]) == paid.reversed_in("completed")
        if paid.status == "failed" and paid.deaths:
            assert detail["reconciliation"]["notes"] == "Discarded by ann: a test"

    @rule(account=st.sampled_from(ACCOUNTS), currency=st.sampled_from(list(DECIMALS)))
    def read_statement(self, account: str, currency: str) -> None:
        """Read an account's entries, of payments and reversals."""
        path = f"/accounts/{account}/entries?currency={currency}&limit=100"
        entries = self.system.get(path)["entries"][::-1]
        posted = self._posted(account, currency)
        found = [(entry["paymentId"], entry["reversalId"]) for entry in entries]
        assert Counter(found) == Counter(posted.keys())
        balance = Decimal(0)
        for seq, (entry, of) in enumerate(zip(entries, found, strict=True), start=1):
            balance += posted[of]
            assert (entry["accountSeq"], Decimal(entry["balanceAfter"])) == (seq, balance)

    def _posted(self, account: str, currency: str) -> dict[tuple[str, str | None], Decimal]:
        """Return the amount that each payment and reversal posts to the account."""
        deltas: dict[tuple[str, str | None], Decimal] = {}
        for paid in self.paid.values():
            if paid.key == (account, currency) and paid.status == "completed":
                deltas[paid.id, None] = paid.amount
                for one in paid.reversals.values():
                    if one.status == "completed":
                        deltas[paid.id, one.id] = -one.amount
        return deltas

    def _pending(self, account: str, currency: str) -> Decimal:
        of_account = [one for one in self.paid.values() if one.key == (account, currency)]
        paid = [max(one.amount, Decimal(0)) for one in of_account if one.status == "pending"]
        return sum(paid, Decimal(0)) - sum(one.reversed_in("pending") for one in of_account)

    @invariant()
    def balances_agree(self) -> None:
        """Compare every account's balance, pending amount and number of entries."""
        for account in ACCOUNTS:
            for currency, decimals in DECIMALS.items():
                posted = self._posted(account, currency)
                total = sum(posted.values(), Decimal(0))
                answer = self.system.get(f"/accounts/{account}/balance?currency={currency}")
                assert answer["balance"] == f"{total:.{decimals}f}"
                assert answer["sequence"] == len(posted)
                assert Decimal(answer["pending"]) == self._pending(account, currency)

    @invariant()
    def clearing_accounts_agree(self) -> None:
        """Compare the balance of each source's clearing account."""
        expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for paid in self.paid.values():
            if paid.status == "completed":
                through = paid.order["source"], paid.order["currency"]
                expected[through] += paid.reversed_in("completed") - paid.amount
        assert self.system.clearing_balances() == expected

    @invariant()
    def lists_agree(self) -> None:
        """Compare the lists of payments, dead letters and operators' actions."""
        for status in ("pending", "completed", "failed"):
            listed = self.system.get(f"/payments?status={status}&limit=100")["payments"]
            known = [paid.id for paid in self.paid.values() if paid.status == status]
            assert sorted(payment["id"] for payment in listed) == sorted(known)
        assert len(self.system.get("/jobs?status=failed&limit=100")["jobs"]) == len(self.dead())
        assert len(self.system.get("/jobs/actions?limit=100")["actions"]) == self.actions

    @invariant()
    def events_agree(self) -> None:
        """Read the event log on: each settlement and each dead letter is in it once."""
        page = self.system.get(f"/events?limit=200{self.after and f'&after={self.after}'}")
        assert not page["hasMore"]
        self.after = page["nextAfter"]
        for event in page["events"]:
            data = event["data"]
            subject = data["reversalId"] or data["paymentId"] if "jobId" in data else data["id"]
            self.events[event["type"], subject] += 1
        expected: Counter[tuple[str, ...]] = Counter()
        for one in self.recorded():
            kind = "payment" if isinstance(one, Paid) else "reversal"
            if one.status != "pending":
                expected[f"{kind}.{one.status}", one.id] += 1
            if one.deaths:
                expected["job.dead", one.id] += one.deaths
        assert self.events == expected

    def teardown(self) -> None:
        """Audit the ledger."""
        self.system.assert_audited()
