"""Log writer: a full or closed standard output blocks no program, and lost lines are reported."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from payments_core.observability.log_writer import LINES_MAX

LINES = LINES_MAX * 4

# Logs from the event loop, whose other work must continue; then waits for a line on standard input.
PROGRAM = f"""
import asyncio, logging, sys
from payments_core.observability.log_writer import DROPPED
from payments_core.observability.logs import configure_logs

async def main():
    configure_logs("test", "INFO", "json")
    log = logging.getLogger("test")
    for number in range({LINES}):
        log.info("line", extra={{"number": number, "filling": "x" * 100}})
        if number % 100 == 0:
            await asyncio.sleep(0)
    print("logged", file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    log.info("last")

asyncio.run(main())
dropped = DROPPED._value.get()
print(int(dropped), file=sys.stderr, flush=True)
"""


@pytest.fixture
def program() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


def _read_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stderr is not None
    return process.stderr.readline().strip()


def _resume(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.timeout(60)
def test_a_full_pipe_blocks_nothing_and_lost_lines_are_counted(
    program: "subprocess.Popen[bytes]",
) -> None:
    assert program.stdout is not None
    # The program continues although its output has not been read.
    assert _read_line(program) == b"logged"
    # Make room in the queue, so that the last line is not dropped too.
    events = [json.loads(program.stdout.readline()) for _ in range(LINES_MAX // 2)]
    _resume(program)
    events += [json.loads(line) for line in program.stdout]
    dropped = int(_read_line(program))
    written = [event["number"] for event in events if event["event"] == "line"]
    assert written == sorted(set(written)), "lines are out of order or repeated"
    assert dropped == LINES - len(written) > 0
    reported = sum(event["lines"] for event in events if event["event"] == "log_lines_dropped")
    assert reported == dropped
    assert program.wait() == 0


@pytest.mark.timeout(60)
def test_a_pipe_that_is_never_read_does_not_delay_the_exit(
    program: "subprocess.Popen[bytes]",
) -> None:
    assert _read_line(program) == b"logged"
    _resume(program)
    began = time.monotonic()
    assert program.wait(timeout=20) == 0
    assert time.monotonic() - began < 10


@pytest.mark.timeout(60)
def test_a_closed_pipe_stops_nothing(program: "subprocess.Popen[bytes]") -> None:
    assert program.stdout is not None
    program.stdout.close()
    assert _read_line(program) == b"logged"
    _resume(program)
    assert int(_read_line(program)) > 0
    assert program.wait() == 0
