"""POST /payments on FastAPI, uvicorn and asyncpg, as an experienced author writes it."""

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

from benchmarks.peers.payment_sql import CREATE

CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "10"))


class Order(BaseModel):
    """A request's body."""

    account_id: str = Field(alias="accountId", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}$")
    amount: Decimal = Field(max_digits=15, decimal_places=2)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    description: str = Field(default="", max_length=500)


class Payment(BaseModel):
    """An answer's body."""

    id: UUID
    accountId: str  # noqa: N815 - the contract's name.
    amount: str
    currency: str
    description: str
    status: str
    createdAt: str  # noqa: N815 - the contract's name.


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold a pool while the app runs."""
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Answer 200 once the pool is connected."""
    return {"status": "ok"}


@app.post("/payments", status_code=201)
async def create(order: Order, idempotency_key: str = Header(max_length=255)) -> Payment:
    """Create the payment and its job, or return the key's earlier payment."""
    amount = order.amount.quantize(Decimal("0.01"))
    parts = (order.account_id, str(amount), order.currency, order.description)
    fingerprint = sha256("\x1f".join(parts).encode()).digest()
    row = await app.state.pool.fetchrow(
        CREATE,
        *(uuid7(), idempotency_key, fingerprint, order.account_id, amount, order.currency),
        order.description,
    )
    if row["request_fingerprint"] != fingerprint:
        raise HTTPException(422, "the idempotency key was used for another payment")
    return Payment(
        id=row["id"],
        accountId=order.account_id,
        amount=str(amount),
        currency=order.currency,
        description=order.description,
        status="pending",
        createdAt=row["created_at"].isoformat(),
    )


def uuid7() -> UUID:
    """Return a UUIDv7: the time in milliseconds, then random bits."""
    milliseconds = time.time_ns() // 1_000_000
    chance = uuid4().int & ((1 << 80) - 1)
    number = milliseconds << 80 | chance
    return UUID(int=number & ~(0xF << 76) | 7 << 76)


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.fastapi_create:app",
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        log_level="warning",
        access_log=False,
    )
