"""Which dead letters a query or a form selects; values that are not ids are ignored."""

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from payments_ui.operate.selection import Selection, job_ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ()),
        ("7", (7,)),
        ("7,8,7", (7, 8)),
        (" 7", ()),
        ("-7,+8,1e3,0x1,x,,9", (9,)),
        ("\u0663", ()),  # A digit, but not an ASCII one.
        ("9" * 19, (10**19 - 1,)),
        ("9" * 20, ()),
        (",".join(map(str, range(1, 2000))), tuple(range(1, 1001))),
    ],
)
def test_distinct_ids_are_read_up_to_the_limit_of_an_action(
    text: str, ids: tuple[int, ...]
) -> None:
    assert job_ids(text) == ids


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ([], {}),
        ([("job", "7"), ("job", "8")], {"jobIds": [7, 8]}),
        ([("job", "7"), ("account", "a")], {"jobIds": [7]}),
        ([("group", "no #"), ("account", "")], {"errorGroup": "no #"}),
        ([("error", " lock "), ("account", "a")], {"errorContains": "lock", "accountId": "a"}),
        ([("start", "2026-11-22T20:00")], {"createdFrom": "2026-11-22T20:00:00Z"}),
        ([("end", "nonsense")], {}),
        ([("more", "x")], {}),
    ],
)
def test_a_selection_is_the_ticked_jobs_or_else_the_filters(
    given: list[tuple[str, str]], body: dict[str, Any]
) -> None:
    assert Selection.read(MultiDict(given)).as_body() == body
