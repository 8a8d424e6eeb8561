"""Write docs/settings.md from the settings classes; `make settings-docs` runs it."""

from pathlib import Path

from pydantic_settings import BaseSettings

from payments_api.__main__ import VALIDATE_KEY
from payments_api.migrate_cli import PAGE_KEY, ROLE_PASSWORDS
from payments_api.settings import ApiSettings
from payments_core.config import Variable, variables_of
from payments_ui.settings import Settings as UiSettings
from recon_worker.settings import WorkerSettings

SERVICES: dict[str, tuple[type[BaseSettings], ...]] = {
    "payments-api": (ApiSettings,),
    "recon-worker": (WorkerSettings,),
    "payments-ui": (UiSettings,),
}
PAGE = Path(__file__).with_name("settings.md")
INTRODUCTION = """\
# Settings

Each service reads its settings once, at start, from environment variables. An invalid value stops
the start with one line that names the variable. A service ignores a variable that begins with its
prefix and is no setting; at its start it names all of them in one warning,
`unknown_settings_ignored`, with the nearest setting's name. The warning omits `PAYMENTS_API_KEY`
and the variables that Kubernetes sets for a Service. One variable that is no setting has an effect:
the one by which [tests](reliability.md) stop a worker at a point of its work. `--help` of each
program lists the settings.

`make settings-docs` writes this page from the settings classes: change them, not it.

Telemetry is set by the `OTEL_*` variables as OpenTelemetry defines them.
"""


def page() -> str:
    """Return the page's text."""
    parts = [INTRODUCTION]
    for service, classes in SERVICES.items():
        parts.append(_section(service, [v for settings in classes for v in variables_of(settings)]))
    passwords = [
        Variable(f"{name}{suffix}", "", f"{what} of the role `{role}`, set if given")
        for role, name in ROLE_PASSWORDS.items()
        for suffix, what in (("", "the password"), ("_FILE", "a file that holds the password"))
    ]
    passwords += [
        Variable(f"{PAGE_KEY}{suffix}", "", f"{what}, whose hash is stored if given")
        for suffix, what in (("", "the page's own API key"), ("_FILE", "a file that holds it"))
    ]
    parts.append(_section("payments-api migrate", passwords))
    key = Variable(VALIDATE_KEY, "", "the API key to send, if the API requires keys")
    parts.append(_section("payments-api validate", [key]))
    return "\n".join(parts)


def _section(title: str, variables: list[Variable]) -> str:
    rows = [f"| `{v.name}` | {_code(v.default)} | {v.description} |" for v in variables]
    table = "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])
    return f"## {title}\n\n{table}\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page())
