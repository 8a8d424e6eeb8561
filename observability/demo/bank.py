"""The demo's bank: invoices that it receives, and two statements with a few honest breaks.

A typo in a reference, an amount that differs, two equal amounts without a reference, a fee, a
stranger's payment; and a file that does not add up.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from xml.sax.saxutils import escape

import httpx

NAME, ACCOUNT = "demo-bank", "DE89370400440532013000"
INVOICES = 24
OPENING = Decimal("1000.00")
READY_SECONDS_MAX = 60.0
SETTLED_SECONDS_MAX = 30.0


class Line(NamedTuple):
    """A line of the statement; a credit is positive."""

    amount: Decimal
    day: date
    reference: str | None
    text: str


async def open_bank(api_url: str) -> None:
    """Pay invoices into the bank and upload its statements; nothing if the bank exists."""
    source = {"name": NAME, "accountIdentifier": ACCOUNT, "currency": "EUR", "graceDays": 0}
    async with httpx.AsyncClient(base_url=api_url, timeout=20) as client:
        await _wait_until_ready(client)
        added = await client.post("/sources", json={**source, "channel": NAME})
        if added.status_code == httpx.codes.CONFLICT:
            return
        added.raise_for_status()
        paid = invoices()
        await _pay(client, paid)
        # A day that has ended: its reconciliation is complete.
        on = datetime.now(UTC).date() - timedelta(days=1)
        statement = camt053("DEMO-1", on, OPENING, lines_of(paid, on))
        await _upload(client, "demo-statement.xml", statement)
        wrong = [Line(Decimal("10.00"), on, "INV-X", "does not add up")]
        await _upload(client, "demo-broken.xml", camt053("DEMO-2", on, OPENING, wrong, error="5"))


async def _wait_until_ready(client: httpx.AsyncClient) -> None:
    """Return when the API is ready; the page may be ready before it. Raises TimeoutError."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get("/readyz")).is_success:
                    return
            await asyncio.sleep(0.2)


def invoices() -> dict[str, Decimal]:
    """Return the amounts of the invoices by reference; the last two are equal."""
    steps = (min(number, INVOICES - 2) for number in range(INVOICES))
    return {f"INV-{n:04d}": 100 + 7 * step + Decimal("0.50") for n, step in enumerate(steps, 1)}


async def _pay(client: httpx.AsyncClient, paid: dict[str, Decimal]) -> None:
    items = [
        {
            "idempotencyKey": f"demo-{reference}",
            "accountId": "demo-shop",
            "amount": str(amount),
            "currency": "EUR",
            "reference": reference,
            "source": NAME,
        }
        for reference, amount in paid.items()
    ]
    (await client.post("/payments/batch", json={"payments": items})).raise_for_status()
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        pending = "/payments?accountId=demo-shop&status=pending&limit=1"
        while (await client.get(pending)).json()["payments"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)


def lines_of(paid: dict[str, Decimal], on: date) -> list[Line]:
    """Return the bank's lines: most invoices as they are, and a few that are not."""
    references = list(paid)
    lines = [Line(paid[each], on, each, "invoice") for each in references[:-4]]
    typo, short, twin = references[-4], references[-3], references[-1]
    return [
        Line(paid[typo], on, f"{typo}O", "a typo in the reference"),
        Line(paid[short] - Decimal("2.50"), on, short, "less the charges of a bank"),
        Line(paid[twin], on, None, "which of two equal invoices?"),
        Line(Decimal("-4.90"), on, None, "monthly fee"),
        Line(Decimal("77.00"), on, "RF18539007547034", "of a stranger"),
        *lines,
    ]


def camt053(
    bank_id: str, on: date, opening: Decimal, lines: Sequence[Line], error: str = "0"
) -> bytes:
    """Return a statement in camt.053; with an error its closing balance is wrong by as much."""
    closing = opening + sum(line.amount for line in lines) + Decimal(error)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>{bank_id}</MsgId><CreDtTm>{on}T06:00:00Z</CreDtTm></GrpHdr>"
        f"<Stmt><Id>{bank_id}</Id><CreDtTm>{on}T06:00:00Z</CreDtTm>"
        f"<FrToDt><FrDtTm>{on}T00:00:00</FrDtTm><ToDtTm>{on}T23:59:59</ToDtTm></FrToDt>"
        f"<Acct><Id><IBAN>{ACCOUNT}</IBAN></Id><Ccy>EUR</Ccy></Acct>"
        f"{_balance('OPBD', opening, on)}{_balance('CLBD', closing, on)}"
        f"{''.join(map(_entry, lines))}</Stmt></BkToCstmrStmt></Document>\n"
    ).encode()


def _money(amount: Decimal) -> str:
    sign = "CRDT" if amount >= 0 else "DBIT"
    return f'<Amt Ccy="EUR">{abs(amount)}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'


def _balance(code: str, amount: Decimal, on: date) -> str:
    kind = f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    return f"<Bal>{kind}{_money(amount)}<Dt><Dt>{on}</Dt></Dt></Bal>"


def _entry(line: Line) -> str:
    reference = f"<EndToEndId>{line.reference or 'NOTPROVIDED'}</EndToEndId>"
    return (
        f"<Ntry>{_money(line.amount)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{line.day}</Dt></BookgDt><NtryDtls><TxDtls><Refs>{reference}</Refs>"
        f"<RmtInf><Ustrd>{escape(line.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
    )


async def _upload(client: httpx.AsyncClient, name: str, data: bytes) -> None:
    path = f"/statements?source={NAME}&fileName={name}"
    (await client.post(path, content=data)).raise_for_status()
