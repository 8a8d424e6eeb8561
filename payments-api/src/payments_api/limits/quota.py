"""A rate limit's quota, as settings write it."""

import re
from dataclasses import dataclass

_PERIODS = {"second": 1, "minute": 60, "hour": 3600}
_QUOTA = re.compile(r"\s*(\d{1,9})\s*/\s*(second|minute|hour)s?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestQuota:
    """A number of requests in a number of seconds; all of them may come in one burst."""

    requests: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "RequestQuota":
        """Parse "200/second" or "1000/minute". Raises ValueError."""
        matched = _QUOTA.fullmatch(text)
        if matched is None or int(matched[1]) < 1:
            raise ValueError("write it as 200/second, 1000/minute or 5000/hour")
        return cls(int(matched[1]), _PERIODS[matched[2].lower()])
