"""The API's answers to unusual and invalid input, documented by the tables.

Each row: the input, the status, and the problem's code, or None if it is accepted. Rejected input
stores nothing, and no input causes a 500.
"""

import gzip
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

JSON = "application/json"

INVALID = (422, "validation_error")
MALFORMED = (400, "malformed_json")
TOO_LARGE = (413, "payload_too_large")
WRONG_TYPE = (415, "unsupported_media_type")
NO_KEY = (400, "idempotency_key_missing")
WRONG_KEY = (400, "idempotency_key_invalid")
CREATED = (201, None)

AMOUNTS = [
    # JSON text, answer, stored amount
    ("100", CREATED, "100.00"),
    ("100.0", CREATED, "100.00"),
    ("1e2", CREATED, "100.00"),
    ('"100.00"', CREATED, "100.00"),
    ("0.13", CREATED, "0.13"),
    ("1000000.13", CREATED, "1000000.13"),
    ("7.130", CREATED, "7.13"),
    ("-5.13", CREATED, "-5.13"),  # Accepted: the worker's rule fails it later.
    ("0", CREATED, "0.00"),
    ("0.00", CREATED, "0.00"),
    ("-0.00", CREATED, "0.00"),
    ("0.30", CREATED, "0.30"),
    (
        "9007199254740993",
        INVALID,
        None,
    ),  # 2^53 + 1 is over the limit, and must not be read as 2^53.
    ("900719925474993.01", CREATED, "900719925474993.01"),
    ("999999999999999.99", CREATED, "999999999999999.99"),
    ("1000000000000000.00", INVALID, None),
    ("7.131", INVALID, None),
    ("0.001", INVALID, None),
    ("0.005", INVALID, None),
    ("0.30000000000000004", INVALID, None),  # 0.1 + 0.2 in floating point.
    ("1e400", INVALID, None),
    ("1e-400", INVALID, None),
    ("1e999999999", INVALID, None),
    ("1e99999999999999999999", INVALID, None),
    ("-1e99999999999999999999", INVALID, None),
    ("1" * 400, INVALID, None),
    ("1" * 5000, MALFORMED, None),
    ("NaN", MALFORMED, None),
    ("Infinity", MALFORMED, None),
    ("-Infinity", MALFORMED, None),
    ("0100", MALFORMED, None),
    ("+100", MALFORMED, None),
    ("1.", MALFORMED, None),
    (".5", MALFORMED, None),
    ("1_000", MALFORMED, None),
    ("٣", MALFORMED, None),
    ('"NaN"', INVALID, None),
    ('"0100"', INVALID, None),
    ('"٣"', INVALID, None),
    ('"1e999999999"', INVALID, None),
    ('""', INVALID, None),
    ("true", INVALID, None),
    ("null", INVALID, None),
    ("[]", INVALID, None),
    ("[100]", INVALID, None),
    ("{}", INVALID, None),
]

GOOD = b'{"accountId": "acc_1", "amount": 1}'


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

METADATA_OF_4_KB = {f"key-{n:02d}": "v" * 199 for n in range(19)} | {"k": "v" * 40}
EMOJI = {str(n): "\U0001f600" * 110 for n in range(10)}

REST: Any = {"accountId": "acc_1", "amount": 1}
FIELDS: list[tuple[str, dict[str, Any], tuple[int, str | None], str | None]] = [
    # description, fields, answer, field in the error
    ("a description of 500 characters", {"description": "d" * 500}, CREATED, None),
    ("a description of 501 characters", {"description": "d" * 501}, INVALID, "description"),
    ("500 characters of 4 bytes", {"description": "\U0001f600" * 500}, CREATED, None),
    ("emoji that are several", {"description": "👩‍👩‍👧‍👦🇺🇳"}, CREATED, None),
    ("right to left", {"description": "שלום \u202e olleh"}, CREATED, None),
    ("composed", {"description": "\u00e9"}, CREATED, None),
    ("decomposed", {"description": "e\u0301"}, CREATED, None),
    ("HTML", {"description": "<script>alert(1)</script>"}, CREATED, None),
    ("a spreadsheet's formula", {"description": '=HYPERLINK("http://x")'}, CREATED, None),
    ("SQL", {"description": "'; DROP TABLE payments; --"}, CREATED, None),
    ("line ends and tabs", {"description": "a\r\n\tb"}, CREATED, None),
    ("the fingerprint's separator", {"description": "\x1f"}, CREATED, None),
    ("spaces", {"description": "   "}, CREATED, None),
    ("an empty description", {"description": ""}, CREATED, None),
    ("NUL", {"description": "a\0b"}, INVALID, "description"),
    ("the upper half of a pair", {"description": "\ud800"}, INVALID, "description"),
    ("the lower half of a pair", {"description": "\udfff"}, INVALID, "description"),
    ("a description of null", {"description": None}, INVALID, "description"),
    ("a description that is a number", {"description": 7}, INVALID, "description"),
    ("a description that is a list", {"description": ["x"]}, INVALID, "description"),
    ("a reference of 35 characters", {"reference": "r" * 35}, CREATED, None),
    ("a reference of 36 characters", {"reference": "r" * 36}, INVALID, "reference"),
    ("all characters of a reference", {"reference": "a/b - ?:().,'+Z9"}, CREATED, None),
    ("an empty reference", {"reference": ""}, INVALID, "reference"),
    ("a reference of null", {"reference": None}, INVALID, "reference"),
    ("a reference that is a number", {"reference": 7}, INVALID, "reference"),
    ("a reference with a space at the end", {"reference": "a "}, INVALID, "reference"),
    ("a reference with a slash in front", {"reference": "/a"}, INVALID, "reference"),
    ("a reference with two slashes", {"reference": "a//b"}, INVALID, "reference"),
    ("a reference with a line end", {"reference": "a\n"}, INVALID, "reference"),
    ("a reference with NUL", {"reference": "a\0b"}, INVALID, "reference"),
    ("a reference with an umlaut", {"reference": "Grüße"}, INVALID, "reference"),
    ("a reference in full-width letters", {"reference": "\uff21"}, INVALID, "reference"),
    ("a reference with an underscore", {"reference": "a_b"}, INVALID, "reference"),
    ("half a pair in a reference", {"reference": "\ud800"}, INVALID, "reference"),
    ("20 keys", {"metadata": {f"k{n}": "v" for n in range(20)}}, CREATED, None),
    ("21 keys", {"metadata": {f"k{n}": "v" for n in range(21)}}, INVALID, "metadata"),
    ("no key", {"metadata": {}}, CREATED, None),
    ("a key of 40 characters", {"metadata": {"é" * 40: ""}}, CREATED, None),
    ("a key of 41 characters", {"metadata": {"k" * 41: ""}}, INVALID, "metadata"),
    ("an empty key", {"metadata": {"": "v"}}, INVALID, "metadata"),
    ("a value of 200 characters", {"metadata": {"k": "v" * 200}}, CREATED, None),
    ("a value of 201 characters", {"metadata": {"k": "v" * 201}}, INVALID, "metadata"),
    ("4 KB", {"metadata": METADATA_OF_4_KB}, CREATED, None),
    ("4 KB and a byte", {"metadata": METADATA_OF_4_KB | {"k": "v" * 41}}, INVALID, "metadata"),
    ("few characters of many bytes", {"metadata": EMOJI}, INVALID, "metadata"),
    ("what JSON escapes", {"metadata": {'\\"\x01\x7f\u2028': "\t\b</script>\x1f"}}, CREATED, None),
    ("keys of one length and another order", {"metadata": {"b": "1", "a": "2"}}, CREATED, None),
    ("metadata of null", {"metadata": None}, INVALID, "metadata"),
    ("metadata that is a list", {"metadata": []}, INVALID, "metadata"),
    ("metadata that is text", {"metadata": "{}"}, INVALID, "metadata"),
    ("a value that is a number", {"metadata": {"k": 7}}, INVALID, "metadata"),
    ("a value of null", {"metadata": {"k": None}}, INVALID, "metadata"),
    ("a value that is an object", {"metadata": {"k": {}}}, INVALID, "metadata"),
    ("NUL in a key", {"metadata": {"\0": "v"}}, INVALID, "metadata"),
    ("NUL in a value", {"metadata": {"k": "\0"}}, INVALID, "metadata"),
    ("half a pair in a value", {"metadata": {"k": "\udfff"}}, INVALID, "metadata"),
    ("half a pair in a key", {"metadata": {"\ud800": ""}}, INVALID, "metadata"),
    ("keys that differ in case", {"metadata": {"Order": "1", "order": "2"}}, INVALID, "metadata"),
    (
        "keys that differ in their Unicode form",
        {"metadata": {"\u00e9": "1", "e\u0301": "2"}},
        INVALID,
        "metadata",
    ),
    ("a key in full-width letters", {"metadata": {"a": "", "\uff21": ""}}, INVALID, "metadata"),
    ("a source", {"source": "bank-1"}, CREATED, None),
    ("a source of 32 characters", {"source": "s" * 32}, CREATED, None),
    ("a source of 33 characters", {"source": "s" * 33}, INVALID, "source"),
    ("the default source", {"source": "default"}, CREATED, None),
    ("an empty source", {"source": ""}, INVALID, "source"),
    ("a source of null", {"source": None}, INVALID, "source"),
    ("a source in capitals", {"source": "Bank"}, INVALID, "source"),
    ("a source that begins with a hyphen", {"source": "-a"}, INVALID, "source"),
    ("a source with a colon", {"source": "a:00"}, INVALID, "source"),
    ("a source with a line end", {"source": "a\n"}, INVALID, "source"),
    ("a source that is a list", {"source": ["a"]}, INVALID, "source"),
    ("an account of 128 characters", {"accountId": "a" * 128}, CREATED, None),
    ("an account of 129 characters", {"accountId": "a" * 129}, INVALID, "accountId"),
    ("an account of 60 KB", {"accountId": "a" * 60_000}, INVALID, "accountId"),
    ("an account of one letter", {"accountId": "a"}, CREATED, None),
    ("no account", {"accountId": None}, INVALID, "accountId"),
    ("an empty account", {"accountId": ""}, INVALID, "accountId"),
    ("spaces for an account", {"accountId": "  "}, INVALID, "accountId"),
    ("an account with a space around", {"accountId": " acc_1"}, INVALID, "accountId"),
    ("an account with a line end", {"accountId": "acc_1\n"}, INVALID, "accountId"),
    ("a path for an account", {"accountId": "../acc_1"}, INVALID, "accountId"),
    ("a slash", {"accountId": "a/b"}, INVALID, "accountId"),
    ("an escaped slash", {"accountId": "a%2Fb"}, INVALID, "accountId"),
    ("NUL in an account", {"accountId": "a\0"}, INVALID, "accountId"),
    ("half a pair in an account", {"accountId": "\ud800"}, INVALID, "accountId"),
    ("an account that is a number", {"accountId": 7}, INVALID, "accountId"),
    ("the system's account", {"accountId": "sys:clearing:00"}, INVALID, "accountId"),
    ("the system's account in capitals", {"accountId": "SYS:clearing:00"}, INVALID, "accountId"),
    ("euros", {"currency": "EUR"}, CREATED, None),
    ("yen", {"currency": "JPY"}, CREATED, None),
    ("yen with decimals", {"currency": "JPY", "amount": "1.5"}, INVALID, "amount"),
    ("a currency in small letters", {"currency": "usd"}, INVALID, "currency"),
    ("an unknown currency", {"currency": "ZZZ"}, INVALID, "currency"),
    ("gold", {"currency": "XAU"}, INVALID, "currency"),
    ("a currency of null", {"currency": None}, INVALID, "currency"),
    ("a currency that is a list", {"currency": ["USD"]}, INVALID, "currency"),
    ("an empty currency", {"currency": ""}, INVALID, "currency"),
]

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


async def _checked(
    answer: Any, expected: tuple[int, str | None], sql: "asyncpg.Connection[Any]"
) -> Any:
    """Check status, problem document and stored payments; return the answer's body."""
    status, code = expected
    body = await answer.get_json()
    assert (answer.status_code, body.get("code")) == (status, code), body
    stored = await sql.fetchval("SELECT count(*) FROM payments")
    assert stored == (1 if status == 201 else 0)
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs") == stored
    if code is not None:
        assert answer.content_type == "application/problem+json"
        assert body["status"] == status
        assert body["instance"] == "/payments"
        assert {"type", "title", "detail"} <= set(body)
        assert "Traceback" not in str(body)
    return body


async def _post(
    client: TestClientProtocol, data: bytes, content_type: str | None = JSON, **headers: str
) -> Any:
    sent = {"Idempotency-Key": str(uuid4()), **headers}
    if content_type is not None:
        sent["Content-Type"] = content_type
    return await client.post("/payments", data=data, headers=sent)


@pytest.mark.parametrize(
    ("raw", "expected", "stored"), AMOUNTS, ids=[raw[:25] for raw, _, _ in AMOUNTS]
)
async def test_each_amount_has_its_answer(
    client: TestClientProtocol,
    sql: "asyncpg.Connection[Any]",
    raw: str,
    expected: tuple[int, str | None],
    stored: str | None,
) -> None:
    answer = await _post(client, f'{{"accountId": "acc_1", "amount": {raw}}}'.encode())
    body = await _checked(answer, expected, sql)
    if stored is not None:
        assert body["amount"] == stored
        assert await sql.fetchval("SELECT amount::text FROM payments") == stored
    elif expected == INVALID:
        assert [error["field"] for error in body["errors"]] == ["amount"]


@pytest.mark.parametrize("name", BODIES)
async def test_each_body_has_its_answer(
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]", name: str
) -> None:
    data, content_type, expected = BODIES[name]
    await _checked(await _post(client, data, content_type), expected, sql)


@pytest.mark.parametrize("depth", range(100, 1000, 60))
async def test_any_depth_of_nesting_is_accepted_or_rejected(
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]", depth: int
) -> None:
    answer = await _post(client, _nested(depth))
    assert answer.status_code in (400, 422)
    for field in ("amount", "description", "currency"):
        nested = json.dumps(REST | {field: "?"}).replace('"?"', "[" * depth + "]" * depth)
        assert (await _post(client, nested.encode())).status_code in (400, 422)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "x"])
async def test_an_encoded_body_is_rejected(
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]", encoding: str
) -> None:
    answer = await _post(client, gzip.compress(GOOD), **{"Content-Encoding": encoding})
    await _checked(answer, WRONG_TYPE, sql)


@pytest.mark.parametrize(
    ("fields", "expected", "named"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS]
)
async def test_each_text_has_its_answer(
    client: TestClientProtocol,
    sql: "asyncpg.Connection[Any]",
    fields: dict[str, Any],
    expected: tuple[int, str | None],
    named: str | None,
) -> None:
    body = await _checked(await _post(client, json.dumps(REST | fields).encode()), expected, sql)
    if named is None:
        # Accepted text is stored and returned unchanged.
        detail = await (await client.get(f"/payments/{body['id']}")).get_json()
        for name, value in fields.items():
            assert body[name] == detail[name] == value
    else:
        assert [error["field"] for error in body["errors"]] == [named]


async def test_every_wrong_field_is_named_in_one_answer(
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]"
) -> None:
    fields = {"accountId": "", "amount": "x", "currency": "x", "description": 1, "more": 1}
    body = await _checked(await _post(client, json.dumps(fields).encode()), INVALID, sql)
    named = {error["field"] for error in body["errors"]}
    assert named == {"accountId", "amount", "currency", "description", "more"}


@pytest.mark.parametrize(
    ("keys", "expected"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS]
)
async def test_each_idempotency_key_has_its_answer(
    client: TestClientProtocol,
    sql: "asyncpg.Connection[Any]",
    keys: list[str],
    expected: tuple[int, str | None],
) -> None:
    headers = Headers([("Content-Type", JSON), *(("Idempotency-Key", key) for key in keys)])
    answer = await client.post("/payments", data=GOOD, headers=headers)
    await _checked(answer, expected, sql)


async def test_a_key_of_a_rejected_request_can_be_reused(
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]"
) -> None:
    for refused in (b"{", b'{"accountId": "acc_1", "amount": "NaN"}'):
        answer = await _post(client, refused, **{"Idempotency-Key": "k"})
        assert answer.status_code in (400, 422)
    answer = await _post(client, GOOD, **{"Idempotency-Key": "k"})
    await _checked(answer, CREATED, sql)
    assert "Idempotency-Replayed" not in answer.headers


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
    client: TestClientProtocol, sql: "asyncpg.Connection[Any]", again: bytes, status: int
) -> None:
    first = await _post(client, GOOD, **{"Idempotency-Key": "k"})
    answer = await _post(client, again, **{"Idempotency-Key": "k"})
    assert answer.status_code == status
    if status == 201:
        assert await answer.get_data() == await first.get_data()
    else:
        assert (await answer.get_json())["code"] == "idempotency_key_reused"
    assert await sql.fetchval("SELECT count(*) FROM payments") == 1
