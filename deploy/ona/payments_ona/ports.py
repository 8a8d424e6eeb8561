"""Ports that an Ona environment opens: the page to everyone, the API to its creator alone.

Elsewhere, neither of Ona's command line tools (`ona`, formerly `gitpod`) is on PATH.
"""

import shutil
import subprocess
import sys

from payments_local.settings import LocalSettings

OPEN_SECONDS_MAX = 20


def open_port(settings: LocalSettings, name: str) -> None:
    """Open the service's port once, under its label; report a refusal (a policy) and continue."""
    shown = {
        "ui": (settings.ui_port, "Payments page", "everyone"),
        "api": (settings.api_port, "Payments API", "creator_only"),
    }
    command = shutil.which("ona") or shutil.which("gitpod")
    marker = settings.data_dir / "run" / f"{name}.port-opened"
    if command is None or name not in shown or marker.exists():
        return
    port, label, admission = shown[name]
    arguments = ["environment", "port", "open", str(port), "--name", label]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments.
            [command, *arguments, "--admission", admission],
            capture_output=True,
            text=True,
            timeout=OPEN_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{label}: port {port} could not be opened in {OPEN_SECONDS_MAX} s\n")
        return
    if done.returncode != 0:
        sys.stderr.write(f"{label}: port {port} was not opened: {done.stderr.strip()}\n")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(done.stdout)
