"""A service in which one coroutine function fails half a second after its start.

Its arguments are the function's `module:path`, or `module:path:work` for the call that gets the
function named work; then the service and its command.
"""

import asyncio
import importlib
import sys
from collections.abc import Awaitable
from typing import NoReturn

BUG = "a bug in the task"


async def _fail() -> NoReturn:
    await asyncio.sleep(0.5)
    raise RuntimeError(BUG)


def main() -> None:
    """Replace the function, and run the service."""
    target, service = sys.argv.pop(1), sys.argv.pop(1)
    module, path, work_name = (target + ":").split(":")[:3]
    owner = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def patched(*arguments: object) -> Awaitable[object]:
        names = [getattr(each, "__name__", None) for each in arguments]
        if work_name and work_name not in names:
            replaced: Awaitable[object] = original(*arguments)
            return replaced
        hangs = name == "_lane" and 1 in arguments  # The second lane.
        return asyncio.sleep(60) if hangs else _fail()

    setattr(owner, name, patched)
    importlib.import_module(f"{service}.__main__").main()


if __name__ == "__main__":
    main()
