"""The failures of payments-api, as the page tells them apart."""

import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import httpx2

log = logging.getLogger(__name__)


@dataclass(eq=False)
class ApiUnavailable(Exception):
    """payments-api gave no usable response: it is down, restarting, too slow or overloaded."""

    why: str  # For people, after "The payments service": "did not answer in time".
    sent: bool = True  # False if the API certainly did nothing.
    key_not_accepted: ClassVar[bool] = False  # For templates.


@dataclass(eq=False)
class KeyNotAccepted(ApiUnavailable):
    """payments-api rejects the page's own key: neither the visitor nor a retry can help."""

    why: str = "does not accept this page's key"
    sent: bool = False
    key_not_accepted: ClassVar[bool] = True


@dataclass(eq=False)
class ApiProblem(Exception):
    """payments-api rejected the request: an RFC 9457 problem."""

    status: int
    code: str
    title: str
    detail: str
    fields: dict[str, str] = field(default_factory=dict)  # camelCase field -> what is wrong


def json_of(response: httpx2.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError as error:
        raise ApiUnavailable("sent an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise ApiUnavailable("sent an answer that is not a JSON object")
    return answer


def raise_problem(response: httpx2.Response) -> NoReturn:
    """Raise ApiUnavailable for 5xx, KeyNotAccepted for 401 and 403, else ApiProblem."""
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    problem = answer if isinstance(answer, dict) else {}
    if response.status_code >= 500:
        raise ApiUnavailable(
            {
                503: "is overloaded or has no database at the moment",
                507: "has no space left: an operator has to free its disk",
            }.get(response.status_code, f"answered with an error ({response.status_code})")
        )
    if response.status_code in (401, 403):
        code = str(problem.get("code", "unknown"))
        log.error("page_key_rejected", extra={"status": response.status_code, "code": code})
        raise KeyNotAccepted
    listed = problem.get("errors")
    fields = {
        str(each.get("field", "")): str(each.get("detail", ""))
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
    }
    raise ApiProblem(
        status=response.status_code,
        code=str(problem.get("code", "unknown")),
        title=str(problem.get("title", "The request was rejected")),
        detail=str(problem.get("detail") or problem.get("title") or "The request was rejected"),
        fields=fields,
    )
