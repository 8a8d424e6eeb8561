"""The API's answers to unusual and invalid input, documented by the tables.

Each row: the input, the status, and the problem's code, or None if it is accepted. Rejected input
stores nothing, and no input causes a 500.
"""

import json
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

from .answers import CREATED, INVALID, MALFORMED, REST, checked_answer, post_body

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
METADATA_OF_4_KB = {f"key-{n:02d}": "v" * 199 for n in range(19)} | {"k": "v" * 40}
EMOJI = {str(n): "\U0001f600" * 110 for n in range(10)}
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


@pytest.mark.parametrize(
    ("raw", "expected", "stored"), AMOUNTS, ids=[raw[:25] for raw, _, _ in AMOUNTS]
)
async def test_each_amount_has_its_answer(
    client: TestClientProtocol,
    sql: Sql,
    raw: str,
    expected: tuple[int, str | None],
    stored: str | None,
) -> None:
    answer = await post_body(client, f'{{"accountId": "acc_1", "amount": {raw}}}'.encode())
    body = await checked_answer(answer, expected, sql)
    if stored is not None:
        assert body["amount"] == stored
        assert await sql.fetchval("SELECT amount::text FROM payments") == stored
    elif expected == INVALID:
        assert [error["field"] for error in body["errors"]] == ["amount"]


@pytest.mark.parametrize(
    ("fields", "expected", "named"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS]
)
async def test_each_text_has_its_answer(
    client: TestClientProtocol,
    sql: Sql,
    fields: dict[str, Any],
    expected: tuple[int, str | None],
    named: str | None,
) -> None:
    body = await checked_answer(
        await post_body(client, json.dumps(REST | fields).encode()), expected, sql
    )
    if named is None:
        # Accepted text is stored and returned unchanged.
        detail = await (await client.get(f"/payments/{body['id']}")).get_json()
        for name, value in fields.items():
            assert body[name] == detail[name] == value
    else:
        assert [error["field"] for error in body["errors"]] == [named]


async def test_every_wrong_field_is_named_in_one_answer(
    client: TestClientProtocol, sql: Sql
) -> None:
    fields = {"accountId": "", "amount": "x", "currency": "x", "description": 1, "more": 1}
    body = await checked_answer(await post_body(client, json.dumps(fields).encode()), INVALID, sql)
    named = {error["field"] for error in body["errors"]}
    assert named == {"accountId", "amount", "currency", "description", "more"}
