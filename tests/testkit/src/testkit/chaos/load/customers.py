"""Customers that pay, repeat requests, and never give up on a key; their log is on disk."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from testkit.chaos.promises import PromiseLog
from testkit.chaos.system.running import POISONED

CUSTOMERS = 16
THINKING_SECONDS_MAX = 0.4  # Between two actions: faults are the load here, not numbers.
TIMEOUT_SECONDS = 6.0
PAUSE_SECONDS_MAX = 0.4
BATCH_ITEMS_MAX = 12
ACCOUNTS = [f"acc_{number}" for number in range(12)]
HOT = "acc_hot"
AMOUNTS = {
    "USD": ("10.00", "0.01", "7.13", "0.13", "999999.99", "0", "-5.00", "-1.13"),
    "JPY": ("113", "1", "0", "-13"),
    "KWD": ("1.130", "0.001", "-0.130"),
}
LEAST = {"USD": Decimal("0.01"), "JPY": Decimal(1), "KWD": Decimal("0.001")}
INVALID = (
    {"amount": "1.00005"},
    {"amount": "NaN"},
    {"currency": "XXX"},
    {"accountId": "sys:clearing:00"},
    {"color": "red"},
)
# Beside payments alone and in batches, so that about every third job is a reversal's.
WEIGHTS = {"_pay": 60, "_repeat": 15, "_reuse": 8, "_pay_invalid": 5, "_pay_batch": 12}
REVERSING = 70
# Any other status is a bug: the client could not know the state of its payment.
RETRIED_STATUSES = (503, 429)

Order = dict[str, str]


@dataclass
class Customers:
    """Simulated clients. `addresses`: the lines to the APIs; `seed`: of every random choice.

    `reversing`: whether every API and worker of the run knows reversals.
    """

    addresses: Sequence[str]
    api_key: str
    log: PromiseLog
    seed: str
    reversing: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    stopping: bool = False
    _client: httpx.AsyncClient | None = None
    _serial: int = 0
    # What may still be reversed, by the key of a payment of which something was.
    _left: dict[str, Decimal] = field(default_factory=dict)

    async def run(self) -> None:
        """Pay until `stopping`, then until every sent key has an outcome."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=CUSTOMERS)
        async with httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS,
            limits=limits,
            headers={"Authorization": f"Bearer {self.api_key}"},
        ) as client:
            self._client = client
            async with asyncio.TaskGroup() as group:
                for number in range(CUSTOMERS):
                    group.create_task(self._customer(random.Random(f"{self.seed}/{number}")))

    async def _customer(self, chance: random.Random) -> None:
        weights = {**WEIGHTS, "_reverse": REVERSING if self.reversing else 0}
        while not self.stopping:
            (name,) = chance.choices(list(weights), weights=list(weights.values()))
            action: Callable[[random.Random], Awaitable[None]] = getattr(self, name)
            await action(chance)
            await asyncio.sleep(chance.uniform(0, THINKING_SECONDS_MAX))

    def _new_key(self) -> str:
        self._serial += 1
        return f"chaos-{self.seed}-{self._serial}"

    # --- actions of a customer --------------------------------------------------------------------

    async def pay_once(self, chance: random.Random) -> str:
        """Create one payment that the rules complete; return its id."""
        key, order = self._new_key(), {"accountId": HOT, "amount": "1.00", "currency": "USD"}
        await self.log.sending({key: order})
        answer = await self._send_until_decided(chance, key, order)
        await self._note_accepted(key, answer)
        payment_id: str = answer.json()["id"]
        return payment_id

    async def _pay(self, chance: random.Random) -> None:
        key, order = self._new_key(), _order(chance)
        await self.log.sending({key: order})
        answer = await self._send_until_decided(chance, key, order)
        await self._note_accepted(key, answer)

    async def _repeat(self, chance: random.Random) -> None:
        key = self._old_key(chance)
        if key is None:
            return
        answer = await self._send_until_decided(chance, key, self.log.known.orders[key])
        if answer.status_code != 201 or answer.text != self.log.known.answers[key]:
            self._note_unexpected(f"repeated {key}", answer)
        self.counts["repeats answered alike"] += 1

    async def _reuse(self, chance: random.Random) -> None:
        key = self._old_key(chance)
        if key is None:
            return
        order = {**self.log.known.orders[key], "reference": "another"}
        answer = await self._send_until_decided(chance, key, order)
        if (answer.status_code, _code(answer)) != (422, "idempotency_key_reused"):
            self._note_unexpected(f"reused {key}", answer)
        self.counts["reused keys refused"] += 1

    async def _reverse(self, chance: random.Random) -> None:
        """Reverse a payment that completes, at once: until then the API refuses."""
        paid = self._old_key(chance, reversible=True)
        if paid is None:
            return
        order = self.log.known.orders[paid]
        left = self._left.get(paid, Decimal(order["amount"]))
        amount = min(left, chance.choice((left, LEAST[order["currency"]])))
        self._left[paid] = left - amount
        payment_id = json.loads(self.log.known.answers[paid])["id"]
        key = self._new_key()
        reversal = {"reverses": payment_id, "amount": str(amount), "reason": "returned"}
        await self.log.sending({key: reversal})
        answer = await self._send_until_decided(chance, key, reversal)
        await self._note_accepted(key, answer)
        self.counts["reversals accepted"] += 1

    async def _pay_invalid(self, chance: random.Random) -> None:
        key, order = self._new_key(), {**_order(chance), **chance.choice(INVALID)}
        await self.log.sending({key: order})
        answer = await self._send_until_decided(chance, key, order)
        if answer.status_code != 422:
            self._note_unexpected(f"invalid {key}", answer)
        await self.log.refused({key: _code(answer)})
        self.counts["invalid refused"] += 1

    async def _pay_batch(self, chance: random.Random) -> None:
        count = chance.randint(2, BATCH_ITEMS_MAX)
        orders = {self._new_key(): _order(chance) for _ in range(count)}
        invalid = next(iter(orders))
        orders[invalid] = {**orders[invalid], **chance.choice(INVALID)}
        await self.log.sending(orders)
        if (old := self._old_key(chance, payment=True)) is not None:
            orders[old] = self.log.known.orders[old]
        left = dict(orders)
        while left:
            body = {"payments": [{"idempotencyKey": key, **order} for key, order in left.items()]}
            answer = await self._send(chance, "/payments/batch", body, {})
            if answer is None or answer.status_code in RETRIED_STATUSES:
                await self._pause(chance)
                continue
            if answer.status_code != 200:
                self._note_unexpected("batch", answer)
                await self._pause(chance)
                continue
            items = dict(zip(left, answer.json()["payments"], strict=True))
            left = await self._note_items(left, items)
            if left:
                await self._pause(chance)

    async def _note_items(self, left: dict[str, Order], items: dict[str, Any]) -> dict[str, Order]:
        """Log the answers; return the items to send again."""
        accepted, refused, again = {}, {}, {}
        for key, item in items.items():
            known = self.log.known.answers.get(key)
            if item["status"] == 201:
                # In the form of a single answer, so that later repeats can be compared.
                text = json.dumps(item["payment"], ensure_ascii=False)
                if known is None:
                    accepted[key] = text
                elif json.loads(known) != item["payment"]:
                    self.surprises.append(f"repeated {key} in a batch: {item}, not {known}")
            elif item["status"] in RETRIED_STATUSES:
                again[key] = left[key]
            elif item["status"] == 422 and known is None:
                refused[key] = item["error"]["code"]
            else:
                self.surprises.append(f"{key} in a batch: {item}")
        self.counts["accepted in batches"] += len(accepted)
        self.counts["invalid refused"] += len(refused)
        self.counts["retries"] += len(again)
        await self.log.accepted(accepted)
        await self.log.refused(refused)
        return again

    def _old_key(
        self, chance: random.Random, *, payment: bool = False, reversible: bool = False
    ) -> str | None:
        # Recent ones too: those answered during a fault are the ones at risk.
        recent = list(self.log.known.answers)[-500:]
        if payment or reversible:
            recent = [key for key in recent if "reverses" not in self.log.known.orders[key]]
        if reversible:
            recent = [key for key in recent if self._is_reversible(key)]
        return chance.choice(recent) if recent else None

    def _is_reversible(self, key: str) -> bool:
        order = self.log.known.orders[key]
        amount = self._left.get(key, Decimal(order["amount"]))
        return amount > 0 and order["accountId"] != POISONED

    # --- sending ----------------------------------------------------------------------------------

    async def _send_until_decided(
        self, chance: random.Random, key: str, order: Order
    ) -> httpx.Response:
        """Send until an answer decides the payment's fate."""
        path, body = "/payments", order
        if "reverses" in order:
            path = f"/payments/{order['reverses']}/reversals"
            body = {name: value for name, value in order.items() if name != "reverses"}
        while True:
            answer = await self._send(chance, path, body, {"Idempotency-Key": key})
            if answer is not None and answer.status_code in (201, 422):
                return answer
            if answer is not None and not _is_retried(answer):
                self._note_unexpected(key, answer)
            await self._pause(chance)

    async def _send(
        self, chance: random.Random, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response | None:
        assert self._client is not None
        self.counts["requests"] += 1
        with suppress(httpx.TransportError):  # The key makes a retry safe.
            return await self._client.post(
                chance.choice(self.addresses) + path, json=body, headers=headers
            )
        return None

    async def _pause(self, chance: random.Random) -> None:
        self.counts["retries"] += 1
        await asyncio.sleep(chance.uniform(0.02, PAUSE_SECONDS_MAX))

    async def _note_accepted(self, key: str, answer: httpx.Response) -> None:
        if answer.status_code != 201:
            self._note_unexpected(key, answer)
            await self.log.refused({key: _code(answer)})
            return
        await self.log.accepted({key: answer.text})

    def _note_unexpected(self, what: str, answer: httpx.Response) -> None:
        self.surprises.append(f"{what}: {answer.status_code} {answer.text[:500]}")


def _is_retried(answer: httpx.Response) -> bool:
    """Return whether the same request may succeed later; a payment completes in time."""
    return answer.status_code in RETRIED_STATUSES or _code(answer) == "payment_not_completed"


def _code(answer: httpx.Response) -> str:
    code: str = answer.json().get("code", "none")
    return code


def _order(chance: random.Random) -> Order:
    currency = chance.choice(("USD", "USD", "USD", "JPY", "KWD"))
    (account,) = chance.choices((HOT, chance.choice(ACCOUNTS), POISONED), weights=(30, 69, 1))
    amount = chance.choice(AMOUNTS[currency])
    return {
        "accountId": account,
        "amount": amount,
        "currency": currency,
        "description": f"nr {chance.randrange(10**6)}",
    }
