"""The API's answers to unusual and invalid idempotency keys, documented by the table."""

import pytest
from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

from testkit.database.sql import Sql

from .answers import CREATED, GOOD, JSON, NO_KEY, WRONG_KEY, checked_answer, post_body

KEYS: list[tuple[str, list[str], tuple[int, str | None]]] = [
    ("one character", ["k"], CREATED),
    ("255 characters", ["k" * 255], CREATED),
    ("255 characters, quoted", ['"' + "k" * 255 + '"'], CREATED),
    ("a UUID", ["7c9e6679-7425-40de-944b-e07fc1f90ae7"], CREATED),
    ("all visible ASCII", ["!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~\"\\"], CREATED),
    ("escapes within quotes", [r'"a\"b\\c"'], CREATED),
    ("white space around", [" \tkey "], CREATED),
    ("a comma", ["a,b"], CREATED),
    ("none", [], NO_KEY),
    ("empty", [""], NO_KEY),
    ("blank", ["   "], NO_KEY),
    ("empty quotes", ['""'], NO_KEY),
    ("256 characters", ["k" * 256], WRONG_KEY),
    ("two headers", ["k1", "k2"], WRONG_KEY),
    ("two equal headers", ["k1", "k1"], WRONG_KEY),
    ("a space within", ["a b"], WRONG_KEY),
    ("a space within quotes", ['"a b"'], WRONG_KEY),
    ("a control character", ["a\x01b"], WRONG_KEY),
    ("DEL", ["a\x7f"], WRONG_KEY),
    ("Latin-1", ["clé"], WRONG_KEY),
    ("a bare quote within quotes", ['"a"b"'], WRONG_KEY),
    ("an unknown escape", [r'"a\b"'], WRONG_KEY),
    ("an escape of nothing", ['"a\\"'], WRONG_KEY),
    ("one quote", ['"'], WRONG_KEY),
    ("an opening quote only", ['"a'], WRONG_KEY),
    ("more after the closing quote", ['"a"b'], WRONG_KEY),
    ("a parameter after the closing quote", ['"a";p=1'], WRONG_KEY),
    (
        "a closing quote only",
        ['a"'],
        CREATED,
    ),  # Unquoted: a single quote mark is an ordinary visible character.
]


@pytest.mark.parametrize(
    ("keys", "expected"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS]
)
async def test_each_idempotency_key_has_its_answer(
    client: TestClientProtocol,
    sql: Sql,
    keys: list[str],
    expected: tuple[int, str | None],
) -> None:
    headers = Headers([("Content-Type", JSON), *(("Idempotency-Key", key) for key in keys)])
    answer = await client.post("/payments", data=GOOD, headers=headers)
    await checked_answer(answer, expected, sql)


async def test_a_key_of_a_rejected_request_can_be_reused(
    client: TestClientProtocol, sql: Sql
) -> None:
    for refused in (b"{", b'{"accountId": "acc_1", "amount": "NaN"}'):
        answer = await post_body(client, refused, **{"Idempotency-Key": "k"})
        assert answer.status_code in (400, 422)
    answer = await post_body(client, GOOD, **{"Idempotency-Key": "k"})
    await checked_answer(answer, CREATED, sql)
    assert "Idempotency-Replayed" not in answer.headers
