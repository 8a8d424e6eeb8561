"""A selection of dead letters: ticked ones, those with one error, or those a filter matches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from payments_core.domain.statuses import REPLAY_JOBS_MAX
from payments_ui.web.forms import api_time, text_of

JOB_ID_MAX_CHARS = 19
FILTERS = ("group", "error", "account", "start", "end")


@dataclass(frozen=True)
class Selection:
    """The ticked jobs, or else the filters, in the form of the page's own URLs."""

    jobs: tuple[int, ...]
    filters: Mapping[str, str]

    @classmethod
    def read(cls, given: MultiDict[str, str]) -> "Selection":
        """Read a query or a form; values that are not job ids are ignored."""
        jobs = job_ids(",".join(given.getlist("job")))
        return cls(jobs, {name: text_of(given, name) for name in FILTERS})

    @property
    def empty(self) -> bool:
        """Whether the selection has neither a job nor a filter."""
        return not self.jobs and not any(self.filters.values())

    def as_body(self) -> dict[str, Any]:
        """Return the API's fields."""
        if self.jobs:
            return {"jobIds": list(self.jobs)}
        body = {
            "errorGroup": self.filters["group"],
            "errorContains": self.filters["error"],
            "accountId": self.filters["account"],
            "createdFrom": api_time(self.filters["start"]),
            "createdTo": api_time(self.filters["end"]),
        }
        return {name: value for name, value in body.items() if value}


def job_ids(text: str) -> tuple[int, ...]:
    """Return the distinct ids of a comma-separated list, up to the limit of one action."""
    numbers = (each for each in text.split(",") if each.isascii() and each.isdigit())
    ids = (int(each) for each in numbers if len(each) <= JOB_ID_MAX_CHARS)
    return tuple(dict.fromkeys(ids))[:REPLAY_JOBS_MAX]
