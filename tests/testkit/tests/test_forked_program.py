"""Programs in forked processes: they end as any other, and are observed by several threads."""

import importlib
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testkit.forked_program import LIBRARIES, ForkedProgram
from testkit.waiting import until

SECONDS_MAX = 30.0


@pytest.fixture
async def waiting(tmp_path: Path) -> ForkedProgram:
    """A program that has registered work for its exit, and waits for SIGTERM."""
    (tmp_path / "waiting.py").write_text(
        "import atexit, signal, sys\n"
        "atexit.register(print, 'exit hook ran')\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    environ = {"PYTHONPATH": str(tmp_path)}
    log = tmp_path / "log"
    started = ForkedProgram("waiting", [], log, environ)

    async def ready() -> bool:
        return log.exists() and "ready" in log.read_text()

    await until(ready)
    return started


def test_its_status_and_exit_hooks_are_those_of_any_process(
    waiting: ForkedProgram, tmp_path: Path
) -> None:
    assert waiting.poll() is None
    with pytest.raises(TimeoutError):
        waiting.wait(0.01)
    waiting.send(signal.SIGTERM)
    assert waiting.wait(SECONDS_MAX) == 7
    assert (tmp_path / "log").read_text() == "ready\nexit hook ran\n"
    waiting.send(signal.SIGTERM)
    waiting.kill()


def test_several_threads_read_the_same_status(waiting: ForkedProgram) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(waiting.wait, SECONDS_MAX) for _ in range(8)]
        waiting.kill()
        assert {each.result() for each in results} == {-signal.SIGKILL}


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_library_exists(name: str) -> None:
    """The server of forks ignores a name that it cannot import."""
    importlib.import_module(name)
