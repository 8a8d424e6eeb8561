"""Adjustments over HTTP: one person proposes, another decides; each tenant sees its own."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api import metrics
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from payments_core.statements.sources import find_source
from recon_worker.statements.matching.adjustments import post_approved
from recon_worker.statements.matching.run import run_matching
from testkit.database.matching_books import (
    DAY,
    Entry,
    Line,
    add_entries,
    add_source,
    add_statement,
)
from testkit.database.sql import Sql

PATH = "/sources/bank/adjustments"
Send = Callable[..., Awaitable[tuple[int, Any]]]


async def _seed(sql: Sql, engine: AsyncEngine, tenant: str | None = None) -> tuple[list[int], int]:
    """A fee of 1.20, and a payment of 100 that arrived short by 4; return lines and entry."""
    source = await add_source(sql, tenant=tenant)
    account = f"{tenant}~acc" if tenant else "acc"
    (entry,) = await add_entries(sql, [Entry("100", "A", account=account)])
    lines = await add_statement(sql, source, [Line("-1.20"), Line("96", "A")])
    async with transaction(engine) as tx:
        row = await find_source(tx, "bank", tenant)
    await run_matching(engine, row, DAY + timedelta(days=10))
    return lines, entry


@pytest.fixture
def send(client: TestClientProtocol) -> Send:
    """`await send(path, {...}, headers)` → status and body; without a body it is a GET."""

    async def act(path: str, body: Any = None, headers: Any = None) -> tuple[int, Any]:
        sent = client.get if body is None else client.post
        options = {} if body is None else {"json": body}
        answer = await sent(path, headers=headers or {}, **options)
        return answer.status_code, await answer.get_json()

    return act


def _fee(line: int, actor: str | None = "ann", **fields: Any) -> dict[str, Any]:
    body = {"line": str(line), "kind": "fee", "reason": "charges", **fields}
    return body | ({"actor": actor} if actor else {})


async def test_a_difference_is_proposed_approved_and_posted(
    sql: Sql, engine: AsyncEngine, client: TestClientProtocol, send: Send
) -> None:
    def decided() -> float:
        return float(metrics.ADJUSTMENTS_DECIDED.labels("approved")._value.get())

    before = decided()
    lines, entry = await _seed(sql, engine)
    body = _fee(lines[1], entries=[str(entry)])
    answer = await client.post(PATH, json=body)
    made = await answer.get_json()
    assert (answer.status_code, made["amount"], made["status"], made["accountId"]) == (
        *(201, "-4.00", "proposed", "sys:adjustment:fee"),
    )
    assert (made["lineId"], made["entryIds"], made["proposedBy"]) == (
        *(str(lines[1]), [str(entry)], "ann"),
    )
    one = answer.headers["Location"]
    assert await send(one) == (200, made)
    status, told = await send(f"{one}/approve", {"actor": "ANN"})
    assert (status, told["code"]) == (409, "approver_is_proposer")
    status, approved = await send(f"{one}/approve", {"actor": "bob", "reason": "as agreed"})
    assert (status, approved["status"], approved["decidedBy"]) == (200, "approved", "bob")
    assert decided() == before + 1, "a refusal is no decision"
    status, told = await send(f"{one}/reject", {"actor": "eve", "reason": "late"})
    assert (status, told["code"], told["detail"]) == (
        *(409, "match_refused", "The adjustment was approved by bob."),
    )
    await post_approved(engine)
    assert (await send(one))[1]["status"] == "posted"
    line = (await send(f"/sources/bank/lines/{lines[1]}"))[1]
    match = (await send(f"/sources/bank/matches/{line['matchId']}"))[1]
    ours, adjusting = match["entries"]
    assert (ours["adjustmentId"], ours["paymentId"] is None) == (None, False)
    assert (adjusting["adjustmentId"], adjusting["paymentId"]) == (made["id"], None)
    (leg,) = (await send("/accounts/sys:adjustment:fee/entries?currency=EUR"))[1]["entries"]
    assert (leg["postingKind"], leg["adjustmentId"], leg["paymentId"], leg["source"]) == (
        *("adjustment", made["id"], None, None),
    )
    acts = (await send("/operator-actions"))[1]["actions"]
    assert [(act["action"], act["actor"], act["reason"]) for act in acts] == [
        ("approve_adjustment", "bob", "as agreed"),
        ("propose_adjustment", "ann", "fee: charges"),
    ]


@pytest.mark.parametrize("reason", ["a\0b", "\0", " ", ""])
async def test_a_reason_without_text_or_with_nul_is_refused(
    sql: Sql, engine: AsyncEngine, send: Send, reason: str
) -> None:
    lines, _ = await _seed(sql, engine)
    status, told = await send(PATH, _fee(lines[0], reason=reason))
    assert (status, [each["field"] for each in told["errors"]]) == (422, ["reason"])


async def test_adjustments_are_listed_by_status_and_line(
    sql: Sql, engine: AsyncEngine, send: Send
) -> None:
    lines, entry = await _seed(sql, engine)
    ids = [
        (await send(PATH, _fee(lines[0])))[1]["id"],
        (await send(PATH, _fee(lines[1], entries=[str(entry)])))[1]["id"],
    ]
    rejection = {"actor": "bob", "reason": "no fee"}
    assert (await send(f"{PATH}/{ids[0]}/reject", rejection))[1]["status"] == "rejected"

    async def listed(query: str) -> list[str]:
        return [each["id"] for each in (await send(f"{PATH}?{query}"))[1]["adjustments"]]

    assert await listed("") == ids[::-1]
    assert await listed("status=proposed") == ids[1:]
    assert await listed(f"line={lines[0]}") == ids[:1]
    page = (await send(f"{PATH}?limit=1"))[1]
    assert await listed(f"limit=1&cursor={page['nextCursor']}") == ids[:1]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"line": "999"}, 404, "line_not_found"),
        ({"line": "x!"}, 422, "validation_error"),
        ({"kind": "gift"}, 422, "validation_error"),
        ({"reason": "  "}, 422, "validation_error"),
        ({"reason": "x" * 501}, 422, "validation_error"),
        ({"entries": ["999"]}, 409, "match_refused"),
        ({"actor": None}, 422, "validation_error"),
    ],
)
async def test_a_wrong_proposal_is_refused(
    sql: Sql, engine: AsyncEngine, send: Send, fields: dict[str, Any], status: int, code: str
) -> None:
    lines, _ = await _seed(sql, engine)
    answered, told = await send(PATH, _fee(lines[0]) | fields)
    assert (answered, told["code"]) == (status, code)
    assert await sql.fetchval("SELECT count(*) FROM recon_adjustments") == 0


async def test_unknown_adjustments_are_not_found(sql: Sql, engine: AsyncEngine, send: Send) -> None:
    await _seed(sql, engine)
    for name in ("00000000-0000-7000-8000-000000000000", "x"):
        assert (await send(f"{PATH}/{name}"))[1]["code"] == "adjustment_not_found"
        approved = await send(f"{PATH}/{name}/approve", {"actor": "bob"})
        assert (approved[0], approved[1]["code"]) == (404, "adjustment_not_found")


@pytest.fixture
async def headers_of(kept: Quart, database_url: str) -> dict[str, dict[str, str]]:
    """Return the headers of keys of a tenant, another tenant, and the page."""
    both = {"recon:read", "recon:write", "recon:approve"}
    owner = create_engine(database_url, application_name="test", pool_size=1)
    made = {}
    for name, tenant, scopes in (
        ("clerk", "acme", {"recon:read", "recon:write"}),
        ("boss", "acme", both),
        ("blue", "blue", both),
        ("page", None, {*both, "jobs:admin"}),
    ):
        key = new_key()
        async with transaction(owner) as tx:
            await add_key(tx, key, KeyGrant(name, frozenset(scopes), tenant))
        made[name] = {"Authorization": f"Bearer {key}"}
    await owner.dispose()
    return made


async def test_a_key_is_one_person_and_acts_on_its_tenant_alone(
    kept: Quart, headers_of: dict[str, dict[str, str]], sql: Sql, engine: AsyncEngine
) -> None:
    client = kept.test_client()
    await _seed(sql, engine, "acme")
    clerk, boss, blue = (headers_of[name] for name in ("clerk", "boss", "blue"))
    lines = (await (await client.get("/sources/bank/lines", headers=clerk)).get_json())["lines"]
    fee = next(line["id"] for line in lines if line["amount"] == "-1.20")

    async def post(path: str, headers: dict[str, str], **body: str) -> tuple[int, Any]:
        answer = await client.post(path, json=body, headers=headers)
        return answer.status_code, await answer.get_json()

    wanted = {"line": fee, "kind": "fee", "reason": "charges"}
    # A key that could name another person would be two people.
    status, told = await post(PATH, boss, **wanted, actor="clerk")
    assert (status, told["errors"][0]["field"]) == (422, "actor")
    status, mine = await post(PATH, boss, **wanted)
    assert (status, mine["proposedBy"], mine["lineId"]) == (201, "boss", fee)
    one = f"{PATH}/{mine['id']}"
    assert (await post(f"{one}/approve", boss))[1]["code"] == "approver_is_proposer"
    assert (await post(f"{one}/approve", clerk))[0] == 403
    for path in (one, f"{one}/approve"):
        sent = (
            client.post(path, json={}, headers=blue)
            if path != one
            else client.get(path, headers=blue)
        )
        assert (await sent).status_code == 404
    page = headers_of["page"] | {"Payments-Operator": "boss"}
    whole = f"/sources/acme~bank/adjustments/{mine['id']}/approve"
    assert (await post(whole, page))[1]["code"] == "approver_is_proposer"
    page["Payments-Operator"] = "eve"
    assert (await post(whole, page))[1]["decidedBy"] == "eve"
