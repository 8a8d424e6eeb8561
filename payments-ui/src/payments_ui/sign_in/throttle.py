"""How often passwords may be tried: by each address, and by all together."""

from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic

from payments_core.http.client_address import limited_as

PER_ADDRESS_TRIES = 5  # At once; after that one more every PER_ADDRESS_SECONDS.
PER_ADDRESS_SECONDS = 60.0
ALL_TRIES = 50  # Slows down those who own many addresses, and bounds the work of hashing.
ALL_SECONDS = 1.0
ADDRESSES_MAX = 10_000  # Remembered, those that tried last; a forgotten one starts afresh.


@dataclass(slots=True)
class Bucket:
    """Holds tries; they come back one by one."""

    tries_max: int
    seconds_each: float
    tries: float = field(init=False)
    counted_at: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.tries = self.tries_max

    def take(self) -> float:
        """Take a try: 0.0, or the seconds until there is one."""
        now = monotonic()
        back = (now - self.counted_at) / self.seconds_each
        self.tries, self.counted_at = min(self.tries_max, self.tries + back), now
        if self.tries < 1:
            return (1 - self.tries) * self.seconds_each
        self.tries -= 1
        return 0.0

    def give_back(self) -> None:
        """The try was a good one: it does not count."""
        self.tries = min(self.tries_max, self.tries + 1)


class Throttle:
    """Of one process: several replicas let through that many times as much."""

    def __init__(self) -> None:
        """Nobody has tried yet."""
        self._all = Bucket(ALL_TRIES, ALL_SECONDS)
        self._addresses: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, address: str) -> float:
        """Take a try for the address: 0.0, or the seconds to wait. Those refused cost the
        others nothing: one address alone cannot use up what all share."""
        network = limited_as(address)
        bucket = self._addresses.get(network)
        if bucket is None:
            bucket = self._addresses[network] = Bucket(PER_ADDRESS_TRIES, PER_ADDRESS_SECONDS)
        self._addresses.move_to_end(network)
        if len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)
        if seconds := bucket.take():
            return seconds
        if seconds := self._all.take():
            bucket.give_back()
        return seconds

    def give_back(self, address: str) -> None:
        """The password was right: the address may start afresh."""
        self._addresses.pop(limited_as(address), None)
        self._all.give_back()
