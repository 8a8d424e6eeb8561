"""The shape of a route's specification, and the problems that groups of routes share."""

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.openapi.parameters import Parameter
from payments_core.http.edge import MisdirectedRequest
from payments_core.http.problems import (
    InternalError,
    MethodIsNotAllowed,
    PayloadTooLarge,
    Problem,
)

Problems = tuple[type[Problem], ...]


class Link(NamedTuple):
    """A link that neither names nor paging imply: the answer's value at `pointer` is the parameter.

    The fuzzer follows it; without it no test replays or discards a job that a list returned.
    """

    name: str
    endpoint: str
    parameter: str
    pointer: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: its endpoint in the app, its request and its answers.

    `answer` and `takes` are models, or the media type if it is not JSON; an answer of None has no
    body. `also` is another status of success, with the same answer. A `located` answer has the
    header Location. `problems` are added to those that every route may return.
    """

    endpoint: str
    tag: str
    answer: type[BaseModel] | str | None
    status: int = 200
    takes: type[BaseModel] | str | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: Problems = ()
    links: tuple[Link, ...] = ()
    also: int | None = None
    located: bool = False


# The additional problems of a route that requires an API key. A public route needs no database, and
# the rate limit of addresses exempts probes.
PROTECTED: Problems = (
    errors.Unauthorized,
    errors.Forbidden,
    errors.DatabaseUnavailable,
    errors.RateLimited,
)
ANYWHERE: Problems = (InternalError, MethodIsNotAllowed, MisdirectedRequest)
BODY: Problems = (
    errors.MalformedJson,
    errors.RequestTooSlow,
    PayloadTooLarge,
    errors.UnsupportedMediaType,
    errors.ValidationFailed,
)
IDEMPOTENT: Problems = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.Overloaded,
)
PARAMETERS: Problems = (errors.ValidationFailed,)
PAGED: Problems = (errors.ValidationFailed, errors.InvalidCursor)
