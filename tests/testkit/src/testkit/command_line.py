"""A program's command line, run in this process."""

import asyncio
import sys
from collections.abc import Callable

import pytest

Answer = tuple[int, str, str]


def database_in_messages(url: str) -> str:
    """Return how a command names the database of the URL: `payments at localhost:5432`."""
    host, _, database = url.partition("@")[2].partition("/")
    return f"{database} at {host}"


class CommandLine:
    """Runs a command: `await run("list", PG_PORT="1")` returns its status, output and errors."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        main: Callable[[], None],
        *command: str,
        **environ: str,
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._main = main
        self._command = command
        self._environ = environ

    def of(self, *command: str) -> "CommandLine":
        """Return the command line of one of its commands."""
        return CommandLine(
            self._monkeypatch,
            self._capsys,
            self._main,
            *(*self._command, *command),
            **self._environ,
        )

    async def __call__(self, *words: str, **environ: str) -> Answer:
        """Run it with these words after the command's own, and these variables."""
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["program", *self._command, *words])
            for name, value in {**self._environ, **environ}.items():
                patch.setenv(name, value)
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                await asyncio.to_thread(self._main)
        said = self._capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err
