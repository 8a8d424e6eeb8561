"""The frame of a program's command line: help with examples, exit statuses, version.

It imports little, and commands import their work when they run: `--help` and completion take a
tenth of a second.
"""

import gc
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any, TypeVar

import click

from payments_core.cli.streams import OutputFailed, guarded_streams

READER_LEFT = 128 + signal.SIGPIPE  # The shell's exit status of a program that SIGPIPE ended.
INTERRUPTED = 128 + signal.SIGINT
FAILED = 2  # Of an audit, 1 would mean that something is wrong.
WIDTH_MAX = 100
FIRST_SENTENCE_CHARS_MAX = 200
# Before a collection; Python's default is 700. Imports create much and discard little, and a
# request creates a few hundred objects.
GC_YOUNG_OBJECTS = 20_000
DECORATED = TypeVar("DECORATED", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose help ends with an example and the meaning of its exit statuses.

    Its callback returns the exit status; None is 0.
    """

    def __init__(self, name: str, *, example: str, statuses: str, **attributes: Any) -> None:
        super().__init__(name, **attributes)
        self.example = example
        self.statuses = statuses

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence whole: lists of commands wrap it."""
        return super().get_short_help_str(FIRST_SENTENCE_CHARS_MAX)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example and the exit statuses."""
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        with formatter.section("Exit status"):
            formatter.write_text(self.statuses)


class Group(click.Group):
    """A group of such commands, in the order of their definition."""

    command_class = Command

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence whole: lists of commands wrap it."""
        return super().get_short_help_str(FIRST_SENTENCE_CHARS_MAX)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of their definition."""
        return list(self.commands)


class Program(Group):
    """A program; `settings` names the class of its settings, as MODULE:CLASS, for its help."""

    group_class = Group

    def __init__(self, name: str, *, settings: str | None = None, **attributes: Any) -> None:
        width = {"max_content_width": WIDTH_MAX}
        super().__init__(name, context_settings=width, **attributes)
        self._settings = settings

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of environment variables."""
        if self._settings is None:
            return
        from payments_core.config import settings_help

        module, _, name = self._settings.partition(":")
        formatter.write_paragraph()
        formatter.write(f"{settings_help(getattr(import_module(module), name))}\n")

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program under its own name, also as `python -m`. Ends with SystemExit."""
        gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)
        try:
            with guarded_streams(), _each_interrupts():
                return super().main(*args, **{"prog_name": self.name, **extra})
        except OutputFailed as error:
            if error.reader_left:
                raise SystemExit(READER_LEFT) from None
            print(f"the output cannot be written: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
        raise SystemExit(FAILED)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the program's own arguments."""
        with _usage_in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and exit with its status."""
        try:
            with _usage_in_one_line():
                status = super().invoke(ctx)
        # click would end with 1. Abort: at a question.
        except (KeyboardInterrupt, click.Abort):
            print("interrupted", file=sys.stderr)
            ctx.exit(INTERRUPTED)
        except EOFError as error:  # click would say "Aborted!", and hide what ended too soon.
            raise RuntimeError("data ended too soon") from error
        ctx.exit(status or 0)


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """End after wrong arguments with status 2 and one line, as after every other failure."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # Prints the help, not an error.
    except click.UsageError as error:
        line = f"Error: {error.format_message().rstrip('.')}."
        if error.ctx is not None:
            line += f" See {error.ctx.command_path} --help."
        print(line, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def version(package: str) -> Callable[[DECORATED], DECORATED]:
    """Return the option --version of a program whose package has this name."""
    return click.version_option(package_name=package, message="%(prog)s %(version)s")


def as_json(text: str = "Print JSON.") -> Callable[[DECORATED], DECORATED]:
    """Return the option --json, which the callback takes as `json_too`."""
    return click.option("--json", "json_too", is_flag=True, help=text)


@contextmanager
def _each_interrupts() -> Iterator[None]:
    """Let each Ctrl-C interrupt. asyncio's own handler lets a question go on after the first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Only the main thread may set a handler, and a shell's order to ignore the signal stays.
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
