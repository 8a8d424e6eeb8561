"""The command lines: help, version, completion, start-up."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import payments_api.__main__
import payments_local.__main__
import payments_ui.__main__
import recon_worker.__main__
from payments_core.cli.program import Command, Program

PROGRAMS: dict[str, tuple[str, Program]] = {
    "payments-api": ("payments_api", payments_api.__main__.program),
    "recon-worker": ("recon_worker", recon_worker.__main__.program),
    "payments-ui": ("payments_ui", payments_ui.__main__.program),
}
LOCAL = payments_local.__main__.program
COMMANDS_PAGE = Path(__file__).parents[1] / "docs/operations/commands.md"
SLOW_TO_LOAD = {"sqlalchemy", "quart", "hypercorn", "alembic", "httpx", "jinja2", "authlib"}
SECONDS_MAX = 30.0


def commands_below(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of the group and of its groups, with its path."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands_below(command, (*path, name))


ALL = [
    pytest.param(path, command, id=" ".join(path))
    for name, (_, program) in PROGRAMS.items()
    for path, command in commands_below(program, (name,))
]
LOCAL_TOO = [
    *ALL,
    *(
        pytest.param(path, command, id=" ".join(path))
        for path, command in commands_below(LOCAL, (str(LOCAL.name),))
    ),
]


def _run(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.mark.parametrize(("path", "command"), LOCAL_TOO)
def test_help_explains_arguments_with_examples_and_exit_statuses(
    path: tuple[str, ...], command: click.Command
) -> None:
    context = click.Context(command, info_name=" ".join(path))
    text = command.get_help(context)
    summary = (command.help or "").strip()
    assert summary.partition("\n")[0].endswith("."), summary
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (parameter.help or "").endswith("."), parameter.opts
        else:
            name = (parameter.metavar or str(parameter.name).upper()).strip("[].")
            assert name in summary, f"{name} has no help text"
    if isinstance(command, click.Group):
        return
    assert isinstance(command, Command)
    assert f"  {' '.join(path)}" in text or path[0] in command.example
    assert "Exit status:\n  0 " in text


@pytest.mark.parametrize(("path", "command"), ALL)
def test_the_commands_page_lists_the_exit_statuses_of_each_command(
    path: tuple[str, ...], command: click.Command
) -> None:
    page = COMMANDS_PAGE.read_text()
    program, name, *_ = path
    assert re.search(rf"`{program} {name}|`{name}` of each", page)


@pytest.mark.parametrize(("path", "command"), ALL)
def test_every_report_is_available_as_json(path: tuple[str, ...], command: click.Command) -> None:
    # These print no report: servers, a probe, a JSON document, a hash, the bytes of a file, a
    # migration, which has LOG_FORMAT=json for clusters, and the worker's own import process.
    no_report = {"serve", "run", "healthcheck", "openapi", "hash-password", "migrate", "export"}
    no_report |= {"import-received"}
    if isinstance(command, click.Group) or path[-1] in no_report:
        return
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize(("path", "command"), ALL)
def test_a_list_can_be_continued(path: tuple[str, ...], command: click.Command) -> None:
    if not (command.help or "").startswith("List ") or path[1:] == ("webhooks", "list"):
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--limit" in options
    assert options & {"--after", "--before"}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--nope",), "Error: No such option '--nope'. See {name} --help.\n"),
        (("nope",), "Error: No such command 'nope'. See {name} --help.\n"),
        (
            ("healthcheck", "nope"),
            "Error: Got unexpected extra argument (nope). See {name} healthcheck --help.\n",
        ),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    name: str, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        PROGRAMS[name][1](words)
    printed = capsys.readouterr()
    assert (end.value.code, printed.out, printed.err) == (2, "", said.format(name=name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_lists_of_commands_cut_no_sentence(name: str) -> None:
    program = PROGRAMS[name][1]
    groups = [
        program,
        *(each for each in program.commands.values() if isinstance(each, click.Group)),
    ]
    for group in groups:
        text = group.get_help(click.Context(group, info_name=name, terminal_width=60))
        assert "..." not in text.partition("Commands:")[2].partition("Environment variables:")[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_version_is_that_of_the_package(name: str) -> None:
    printed = _run(sys.executable, "-m", PROGRAMS[name][0], "--version")
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", printed.stdout), printed


@pytest.mark.parametrize(
    "words",
    [
        *((module, "--help") for module, _ in PROGRAMS.values()),
        ("payments_api", "keys", "create", "--help"),
        ("payments_api", "migrate", "--help"),
        ("recon_worker", "audit", "--help"),
        ("recon_worker", "jobs", "replay", "--help"),
    ],
    ids=" ".join,
)
def test_help_loads_no_server_and_no_database(words: tuple[str, ...]) -> None:
    """Each of them takes longer to load than everything that a help text needs."""
    done = _run(sys.executable, "-X", "importtime", "-m", *words)
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & SLOW_TO_LOAD


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_shell_completes_commands_and_options(name: str, shell: str) -> None:
    module = PROGRAMS[name][0]
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    program = (sys.executable, "-m", module)
    script = _run(*program, **{variable: f"{shell}_source"}).stdout
    assert f"{variable}={shell}_complete" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0
    words = {variable: f"{shell}_complete", "COMP_WORDS": f"{name} h", "COMP_CWORD": "1"}
    assert "healthcheck" in _run(*program, **words).stdout
