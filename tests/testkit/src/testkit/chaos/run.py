"""One run: the system, its customers, a seed's faults one after another, and the verdict."""

import asyncio
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from testkit.chaos.earlier_release import earlier_commit, knows_reversals
from testkit.chaos.faults.catalogue import FAULTS, Fault, possible
from testkit.chaos.load.customers import Customers
from testkit.chaos.promises import PromiseLog, read_promises
from testkit.chaos.system.running import System, SystemSpec, running_system, supported, until_idle
from testkit.chaos.system.subscriber import until_told
from testkit.chaos.told import judge_told, read_committed
from testkit.chaos.verdict import Verdict, judge
from testkit.waiting import until

STRIKE_SECONDS_MAX = 150.0
RECOVERED_SECONDS_MAX = 60.0
OUTCOME_SECONDS_MAX = 120.0
IDLE_SECONDS_MAX = 180.0  # Jobs whose workers died several times wait for their backoff.
TOLD_SECONDS_MAX = 120.0
TWO_AT_ONCE = 0.3


@dataclass(frozen=True)
class Options:
    """The options of a run: equal ones give the same faults in the same order."""

    seed: int
    seconds: float
    faults: Sequence[str] = ()  # Without a name, all.
    spec: SystemSpec = field(default_factory=SystemSpec)


@dataclass(frozen=True)
class InjectedFault:
    """A fault that was injected, and the time from its end until a new payment was settled."""

    fault: str
    what: str
    recovered_seconds: float


@dataclass
class Result:
    """A run's outcome. `wrong` is empty if all promises held."""

    options: Options
    missing: list[str] = field(default_factory=list)  # The parts that this machine lacks, and why.
    injected: list[InjectedFault] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def wrong(self) -> list[str]:
        """Return every failure in words."""
        return self.verdict.wrong


def plan(seed: int, faults: Sequence[Fault]) -> "Plan":
    """Yield the seed's faults endlessly, in order."""
    return Plan(random.Random(f"plan/{seed}"), list(faults), seed)


class Plan:
    """Chooses the next faults. Every fault occurs once before any occurs again."""

    def __init__(self, chance: random.Random, faults: list[Fault], seed: int) -> None:
        self._chance = chance
        self._faults = faults
        self._seed = seed
        self._deck: list[Fault] = []
        self._drawn = 0

    def next(self) -> list[tuple[Fault, random.Random]]:
        """Return one fault or two, each with its own Random."""
        together = 2 if self._chance.random() < TWO_AT_ONCE else 1
        return [self._draw() for _ in range(together)]

    def _draw(self) -> tuple[Fault, random.Random]:
        if not self._deck:
            self._deck = [fault for fault in self._faults for _ in range(fault.weight)]
            self._chance.shuffle(self._deck)
        self._drawn += 1
        return self._deck.pop(), random.Random(f"strike/{self._seed}/{self._drawn}")


async def run(options: Options, folder: Path, say: Callable[[str], None] = print) -> Result:
    """Carry out a run. Its logs and the promises stay in the folder."""
    spec, missing = supported(options.spec)
    result = Result(options, missing)
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running_system(spec, folder, str(options.seed)))
        log = PromiseLog(folder / "promises.jsonl")
        stack.push_async_callback(log.close)
        addresses = [f"http://127.0.0.1:{line.port}" for line in system.api_lines]
        customers = Customers(
            addresses, system.api_key, log, str(options.seed), reversing=_all_reverse(spec)
        )
        paying = asyncio.create_task(customers.run())
        try:
            await _strike_until(options, system, customers, result, say)
            system.mend_all()
            customers.stopping = True
            async with asyncio.timeout(OUTCOME_SECONDS_MAX):
                await asyncio.shield(paying)
            await until_idle(system, IDLE_SECONDS_MAX)
            assert system.subscriber is not None
            await until_told(system.database, system.subscriber, TOLD_SECONDS_MAX)
            system.assert_running()
            result.verdict = await judge(system, read_promises(log.path))
            async with system.database.connection() as sql:
                judge_told(result.verdict, await read_committed(sql), system.subscriber)
            for service in (*system.workers, *system.apis):
                await service.stop()
        except (AssertionError, TimeoutError) as error:
            # A timeout has an empty message, so report the place of the error.
            where = traceback.extract_tb(error.__traceback__)
            steps = " < ".join(step.name for step in reversed(where))
            result.wrong.append(f"{type(error).__name__} in {steps}: {error}")
        finally:
            paying.cancel()
            await asyncio.gather(paying, return_exceptions=True)
        result.wrong.extend(f"a client was told: {text}" for text in customers.surprises)
        result.verdict.figures.update(customers.counts)
    return result


def _all_reverse(spec: SystemSpec) -> bool:
    commit = earlier_commit() if "earlier" in (*spec.apis, *spec.workers) else None
    return commit is None or knows_reversals(commit)


async def _strike_until(
    options: Options,
    system: System,
    customers: Customers,
    result: Result,
    say: Callable[[str], None],
) -> None:
    wanted = [fault for fault in possible(system) if fault.name in (options.faults or FAULTS)]
    if not wanted:
        raise AssertionError("this machine supports none of the requested faults")
    coming = plan(options.seed, wanted)
    begun = time.monotonic()
    probing = random.Random(f"probe/{options.seed}")
    await _settle_one(system, customers, probing)  # Check that the system works at the start.
    while time.monotonic() - begun < options.seconds:
        injecting = coming.next()
        async with asyncio.timeout(STRIKE_SECONDS_MAX):
            done = await asyncio.gather(*(fault.inject(system, own) for fault, own in injecting))
        mended = time.monotonic()
        await _settle_one(system, customers, probing)
        recovered_seconds = time.monotonic() - mended
        for (fault, _), what in zip(injecting, done, strict=True):
            result.injected.append(InjectedFault(fault.name, what, recovered_seconds))
            say(f"  {fault.name:<24} {what:<44} settling again after {recovered_seconds:.2f} s")
        system.assert_running()


async def _settle_one(system: System, customers: Customers, chance: random.Random) -> None:
    """Pay once, as a customer does, and return when that payment is settled."""
    async with asyncio.timeout(RECOVERED_SECONDS_MAX):
        payment_id = await customers.pay_once(chance)
        async with system.database.connection() as sql:

            async def settled() -> bool:
                query = "SELECT settled_at IS NOT NULL FROM payments WHERE id = $1"
                return bool(await sql.fetchval(query, payment_id))

            await until(settled, RECOVERED_SECONDS_MAX)
