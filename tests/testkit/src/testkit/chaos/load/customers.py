"""Customers that pay, repeat requests, and never give up on a key; their log is on disk."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
INVALID = (
    {"amount": "1.00005"},
    {"amount": "NaN"},
    {"currency": "XXX"},
    {"accountId": "sys:clearing:00"},
    {"color": "red"},
)
# Any other status is a bug: the client could not know the state of its payment.
RETRIED_STATUSES = (503, 429)

Order = dict[str, str]


@dataclass
class Customers:
    """Simulated clients. `addresses`: the lines to the APIs; `seed`: of every random choice."""

    addresses: Sequence[str]
    api_key: str
    log: PromiseLog
    seed: str
    counts: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    stopping: bool = False
    _client: httpx.AsyncClient | None = None
    _serial: int = 0

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
        actions = (self._pay, self._repeat, self._reuse, self._pay_invalid, self._pay_batch)
        while not self.stopping:
            (action,) = chance.choices(actions, weights=(60, 15, 8, 5, 12))
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
        answer = await self._insist(chance, key, order)
        await self._note_accepted(key, answer)
        payment_id: str = answer.json()["id"]
        return payment_id

    async def _pay(self, chance: random.Random) -> None:
        key, order = self._new_key(), _order(chance)
        await self.log.sending({key: order})
        answer = await self._insist(chance, key, order)
        await self._note_accepted(key, answer)

    async def _repeat(self, chance: random.Random) -> None:
        key = self._old_key(chance)
        if key is None:
            return
        answer = await self._insist(chance, key, self.log.known.orders[key])
        if answer.status_code != 201 or answer.text != self.log.known.answers[key]:
            self._surprise(f"repeated {key}", answer)
        self.counts["repeats answered alike"] += 1

    async def _reuse(self, chance: random.Random) -> None:
        key = self._old_key(chance)
        if key is None:
            return
        order = {**self.log.known.orders[key], "description": "another payment"}
        answer = await self._insist(chance, key, order)
        if (answer.status_code, _code(answer)) != (422, "idempotency_key_reused"):
            self._surprise(f"reused {key}", answer)
        self.counts["reused keys refused"] += 1

    async def _pay_invalid(self, chance: random.Random) -> None:
        key, order = self._new_key(), {**_order(chance), **chance.choice(INVALID)}
        await self.log.sending({key: order})
        answer = await self._insist(chance, key, order)
        if answer.status_code != 422:
            self._surprise(f"invalid {key}", answer)
        await self.log.refused({key: _code(answer)})
        self.counts["invalid refused"] += 1

    async def _pay_batch(self, chance: random.Random) -> None:
        count = chance.randint(2, BATCH_ITEMS_MAX)
        orders = {self._new_key(): _order(chance) for _ in range(count)}
        invalid = next(iter(orders))
        orders[invalid] = {**orders[invalid], **chance.choice(INVALID)}
        await self.log.sending(orders)
        if (old := self._old_key(chance)) is not None:
            orders[old] = self.log.known.orders[old]
        left = dict(orders)
        while left:
            body = {"payments": [{"idempotencyKey": key, **order} for key, order in left.items()]}
            answer = await self._send(chance, "/payments/batch", body, {})
            if answer is None or answer.status_code in RETRIED_STATUSES:
                await self._pause(chance)
                continue
            if answer.status_code != 200:
                self._surprise("batch", answer)
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

    def _old_key(self, chance: random.Random) -> str | None:
        answered = self.log.known.answers
        # Recent ones too: those answered during a fault are the ones at risk.
        return chance.choice(list(answered)[-500:]) if answered else None

    # --- sending ----------------------------------------------------------------------------------

    async def _insist(self, chance: random.Random, key: str, order: Order) -> httpx.Response:
        """Send until an answer decides the payment's fate."""
        while True:
            answer = await self._send(chance, "/payments", order, {"Idempotency-Key": key})
            if answer is not None and answer.status_code in (201, 422):
                return answer
            if answer is not None and answer.status_code not in RETRIED_STATUSES:
                self._surprise(key, answer)
            await self._pause(chance)

    async def _send(
        self, chance: random.Random, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response | None:
        assert self._client is not None
        self.counts["requests"] += 1
        with suppress(httpx.TransportError):  # Refused, cut, timed out: the key makes it safe.
            return await self._client.post(
                chance.choice(self.addresses) + path, json=body, headers=headers
            )
        return None

    async def _pause(self, chance: random.Random) -> None:
        self.counts["retries"] += 1
        await asyncio.sleep(chance.uniform(0.02, PAUSE_SECONDS_MAX))

    async def _note_accepted(self, key: str, answer: httpx.Response) -> None:
        if answer.status_code != 201:
            self._surprise(key, answer)
            await self.log.refused({key: _code(answer)})
            return
        await self.log.accepted({key: answer.text})

    def _surprise(self, what: str, answer: httpx.Response) -> None:
        self.surprises.append(f"{what}: {answer.status_code} {answer.text[:500]}")


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
