"""The API's answers to unusual and invalid bodies, documented by the table."""

import gzip
import json

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

from .answers import (
    CREATED,
    GOOD,
    INVALID,
    JSON,
    MALFORMED,
    REST,
    TOO_LARGE,
    WRONG_TYPE,
    checked_answer,
    post_body,
)


def _nested(depth: int) -> bytes:
    return b'{"accountId": ' + b"[" * depth + b"]" * depth + b', "amount": 1}'


BODIES: dict[str, tuple[bytes, str | None, tuple[int, str | None]]] = {
    "a good one": (GOOD, JSON, CREATED),
    "reordered, with white space": (
        b' \r\n{"amount":1,\t"accountId":"acc_1"} ',
        JSON,
        CREATED,
    ),
    "a charset that is UTF-8": (GOOD, "application/json; charset=UTF-8", CREATED),
    "a media type in capitals": (GOOD, "Application/JSON", CREATED),
    "an unknown parameter of the media type": (GOOD, 'application/json; v="1"', CREATED),
    "empty": (b"", JSON, MALFORMED),
    "white space": (b"  ", JSON, MALFORMED),
    "null": (b"null", JSON, MALFORMED),
    "a number": (b"7", JSON, MALFORMED),
    "a string": (b'"payment"', JSON, MALFORMED),
    "an array": (b"[" + GOOD + b"]", JSON, MALFORMED),
    "an empty object": (b"{}", JSON, INVALID),
    "truncated": (GOOD[:-1], JSON, MALFORMED),
    "trailing junk": (GOOD + b"x", JSON, MALFORMED),
    "two documents": (GOOD + b"\n" + GOOD, JSON, MALFORMED),
    "single quotes": (GOOD.replace(b'"', b"'"), JSON, MALFORMED),
    "a comment": (b"/* */" + GOOD, JSON, MALFORMED),
    "a trailing comma": (b'{"accountId": "acc_1", "amount": 1,}', JSON, MALFORMED),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, JSON, MALFORMED),
    "UTF-16": (GOOD.decode().encode("utf-16"), JSON, MALFORMED),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-le"), JSON, MALFORMED),
    "invalid UTF-8": (GOOD.replace(b"acc_1", b"\xff\xfe"), JSON, MALFORMED),
    "overlong UTF-8": (GOOD.replace(b"acc_1", b"\xc0\xaf"), JSON, MALFORMED),
    "a surrogate in UTF-8": (GOOD.replace(b"acc_1", b"\xed\xa0\x80"), JSON, MALFORMED),
    "a bare control character": (GOOD.replace(b"acc_1", b"a\x01"), JSON, MALFORMED),
    "NUL": (b"\0", JSON, MALFORMED),
    "nested 50 deep": (_nested(50), JSON, INVALID),
    "nested 300 deep": (_nested(300), JSON, INVALID),
    "nested 30,000 deep": (_nested(30_000), JSON, MALFORMED),
    "nested 100,000 deep": (_nested(100_000), JSON, TOO_LARGE),
    "only opening brackets": (b"[" * 60_000, JSON, MALFORMED),
    "a key twice": (b'{"accountId": "a", "accountId": "b", "amount": 1}', JSON, MALFORMED),
    "a key twice, deep inside": (
        b'{"accountId": {"a": 1, "a": 1}, "amount": 1}',
        JSON,
        MALFORMED,
    ),
    "an unknown key": (b'{"accountId": "a", "amount": 1, "status": "completed"}', JSON, INVALID),
    "an unknown key that is half a pair": (
        rb'{"accountId": "a", "amount": 1, "\ud800": 1}',
        JSON,
        INVALID,
    ),
    "an unknown key with NUL": (rb'{"accountId": "a", "amount": 1, "\u0000": 1}', JSON, INVALID),
    "a key in another case": (b'{"accountid": "a", "amount": 1}', JSON, INVALID),
    "64 KiB": (GOOD.ljust(64 * 1024), JSON, CREATED),
    "64 KiB and a byte": (GOOD.ljust(64 * 1024 + 1), JSON, TOO_LARGE),
    "2 MiB": (b"x" * 2 * 1024 * 1024, JSON, TOO_LARGE),
    "no content type": (GOOD, None, WRONG_TYPE),
    "a form": (b"accountId=acc_1&amount=1", "application/x-www-form-urlencoded", WRONG_TYPE),
    "a multipart form": (GOOD, "multipart/form-data; boundary=x", WRONG_TYPE),
    "text/plain": (GOOD, "text/plain", WRONG_TYPE),
    "text/json": (GOOD, "text/json", WRONG_TYPE),
    "problem+json": (GOOD, "application/problem+json", WRONG_TYPE),
    "two media types": (GOOD, "application/json, text/plain", WRONG_TYPE),
    "a content type that is none": (GOOD, ";;;", WRONG_TYPE),
    "another charset": (GOOD, "application/json; charset=utf-16", WRONG_TYPE),
    "an unknown charset": (GOOD, "application/json; charset=klingon", WRONG_TYPE),
    "gzip, undeclared": (gzip.compress(GOOD), JSON, MALFORMED),
}


@pytest.mark.parametrize("name", BODIES)
async def test_each_body_has_its_answer(client: TestClientProtocol, sql: Sql, name: str) -> None:
    data, content_type, expected = BODIES[name]
    await checked_answer(await post_body(client, data, content_type), expected, sql)


@pytest.mark.parametrize("depth", range(100, 1000, 60))
async def test_any_depth_of_nesting_is_accepted_or_rejected(
    client: TestClientProtocol, sql: Sql, depth: int
) -> None:
    answer = await post_body(client, _nested(depth))
    assert answer.status_code in (400, 422)
    for field in ("amount", "description", "currency"):
        nested = json.dumps(REST | {field: "?"}).replace('"?"', "[" * depth + "]" * depth)
        assert (await post_body(client, nested.encode())).status_code in (400, 422)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_an_encoded_body_is_rejected(
    client: TestClientProtocol, sql: Sql, encoding: str
) -> None:
    answer = await post_body(client, gzip.compress(GOOD), **{"Content-Encoding": encoding})
    await checked_answer(answer, WRONG_TYPE, sql)


@pytest.mark.parametrize(
    ("again", "status"),
    [
        (b'{"amount": 1, "accountId": "acc_1"}', 201),
        (b'{"accountId": "acc_1", "amount": "1.00", "currency": "USD", "description": ""}', 201),
        (b'{"accountId": "acc_1", "amount": 1.0}', 201),
        (rb'{"accountId": "acc\u005f1", "amount": 1e0}', 201),
        (b'{"accountId": "acc_1", "amount": 1.01}', 422),
        (b'{"accountId": "ACC_1", "amount": 1}', 422),
        (b'{"accountId": "acc_1", "amount": 1, "currency": "EUR"}', 422),
        (b'{"accountId": "acc_1", "amount": 1, "description": " "}', 422),
        (b'{"accountId": "acc_1", "amount": 1, "metadata": {}, "source": "default"}', 201),
        (b'{"accountId": "acc_1", "amount": 1, "reference": "R"}', 422),
        (b'{"accountId": "acc_1", "amount": 1, "metadata": {"k": ""}}', 422),
        (b'{"accountId": "acc_1", "amount": 1, "source": "bank"}', 422),
    ],
)
async def test_bodies_with_the_same_meaning_are_equal(
    client: TestClientProtocol, sql: Sql, again: bytes, status: int
) -> None:
    first = await post_body(client, GOOD, **{"Idempotency-Key": "k"})
    answer = await post_body(client, again, **{"Idempotency-Key": "k"})
    assert answer.status_code == status
    if status == 201:
        assert await answer.get_data() == await first.get_data()
    else:
        assert (await answer.get_json())["code"] == "idempotency_key_reused"
    assert await sql.fetchval("SELECT count(*) FROM payments") == 1
