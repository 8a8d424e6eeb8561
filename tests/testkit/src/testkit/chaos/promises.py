"""The system's promises: every answer, written to disk before it counts.

An append-only file of JSON lines. The verdict over a run reads it back: a client remembers only
what it has written down, like any client that may crash.
"""

import asyncio
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Promises:
    """The log's content. `orders`: bodies by key; `answers`: accepting bytes; `refused`: codes.

    A key with a known outcome is either in `answers` or in `refused`.
    """

    orders: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def open_keys(self) -> set[str]:
        """Return the keys that were sent and have no outcome yet."""
        return self.orders.keys() - self.answers.keys() - self.refused.keys()


class PromiseLog:
    """Appends lines; `write` returns when they are on disk. Concurrent writers share one fsync."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = Promises()
        self._file = path.open("ab")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._run())

    async def sending(self, orders: dict[str, dict[str, str]]) -> None:
        """Log keys, with their bodies, before they are sent for the first time."""
        self.known.orders.update(orders)
        await self._write({"sending": key, "order": order} for key, order in orders.items())

    async def accepted(self, answers: dict[str, str]) -> None:
        """Log the first accepting answer to each key."""
        self.known.answers.update(answers)
        await self._write({"accepted": key, "answer": text} for key, text in answers.items())

    async def refused(self, codes: dict[str, str]) -> None:
        """Log keys that will never create a payment, with the problem's code."""
        self.known.refused.update(codes)
        await self._write({"refused": key, "code": code} for key, code in codes.items())

    async def close(self) -> None:
        """Write the queued lines, and end."""
        self._writer.cancel()
        with suppress(asyncio.CancelledError):
            await self._writer
        self._file.close()

    async def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        if not text:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, written))
        self._wake.set()
        await written

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._append, b"".join(text for text, _ in batch))
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    def _append(self, text: bytes) -> None:
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())


def read_promises(path: Path) -> Promises:
    """Read the log back. Raises ValueError if a key has two outcomes."""
    promises = Promises()
    with path.open() as lines:
        for line in lines:
            match json.loads(line):
                case {"sending": key, "order": order}:
                    promises.orders[key] = order
                case {"accepted": key, "answer": answer}:
                    _refuse_a_second_outcome(promises, key)
                    promises.answers[key] = answer
                case {"refused": key, "code": code}:
                    _refuse_a_second_outcome(promises, key)
                    promises.refused[key] = code
                case other:
                    raise ValueError(f"not a line of a promise log: {other}")
    return promises


def _refuse_a_second_outcome(promises: Promises, key: str) -> None:
    if key in promises.answers or key in promises.refused:
        raise ValueError(f"{key} has two outcomes")
