"""Checks of every answer of the API, which schemathesis loads.

Errors are problem documents, and no answer reveals internals. The ids of payments answered 201 are
written to a file, so that the caller of schemathesis can look for them afterwards.
"""

import json
import math
import os
import re
from pathlib import Path
from typing import Any, cast

import schemathesis
from sqlalchemy import Constraint, Index

from payments_core.db.tables import metadata
from payments_core.http.problems import PROBLEM_TYPE

CREATED_FILE = "FUZZ_CREATED_FILE"  # Names the file of payment ids, one per line.

# These describe the API on purpose, independently of the request.
_DESCRIBING = frozenset({"/openapi.json", "/docs", "/metrics"})
_LIBRARIES = ("asyncpg", "sqlalchemy", "alembic", "quart", "werkzeug", "hypercorn", "pydantic")
_SQL = ("SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM", " WHERE ", "SQLSTATE", "pg_catalog")
_PYTHON = ("Traceback", 'File "', ".py", "site-packages", "/lib/", "object at 0x", "Exception")
# Without the tables that are named like the API's resources.
_TABLES = {table for table in metadata.tables if "_" in table}
_CONSTRAINTS = {
    str(rule.name)
    for table in metadata.tables.values()
    for rule in cast("tuple[Constraint | Index, ...]", (*table.constraints, *table.indexes))
    if rule.name
}
INTERNALS = re.compile(
    "|".join(
        re.escape(word)
        for word in sorted({*_LIBRARIES, *_SQL, *_PYTHON, *_TABLES, *_CONSTRAINTS}, reverse=True)
    )
)


def internals_in(text: str, sent: str = "") -> str | None:
    """Return the first internal word in a text that the request did not contain, or None."""
    for found in INTERNALS.finditer(text):
        if found[0] not in sent:
            return found[0]
    return None


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Give half of the payments an amount that any currency can express."""
    if isinstance(body, dict) and isinstance(body.get("amount"), float):
        amount = body["amount"]
        if math.isfinite(amount) and int(amount) % 2 == 0:
            body["amount"] = int(amount)
    return body


def _sent(case: Any) -> str:
    return repr((case.path_parameters, case.query, case.headers, case.cookies, case.body))


@schemathesis.check
def errors_are_problem_documents(_context: Any, response: Any, case: Any) -> None:
    if response.status_code < 400 or case.method == "HEAD":
        return
    assert response.headers["content-type"] == [PROBLEM_TYPE]
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code
    assert {"type", "title", "code"} <= problem.keys()
    assert response.headers["cache-control"] == ["no-store"]


@schemathesis.check
def responses_reveal_no_internals(_context: Any, response: Any, case: Any) -> None:
    if case.path in _DESCRIBING:
        return
    head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    word = internals_in(head + response.content.decode(), _sent(case))
    assert word is None, f"the answer contains {word!r}"


@schemathesis.check
def record_created_payment_ids(_context: Any, response: Any, case: Any) -> None:
    if case.method != "POST" or not case.path.startswith("/payments"):
        return
    made = []
    if response.status_code == 201:
        made = [json.loads(response.content)["id"]]
    elif response.status_code == 200:
        answers = json.loads(response.content)["payments"]
        made = [answer["payment"]["id"] for answer in answers if answer["status"] == 201]
    with Path(os.environ[CREATED_FILE]).open("a") as file:
        file.writelines(f"{payment_id}\n" for payment_id in made)
