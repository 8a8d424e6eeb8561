"""Postgres of a development environment: in a container if an engine answers, else embedded.

Both listen on 127.0.0.1, where `psql -h localhost -U postgres payments` needs no password. The
choice is made once and kept, because each has its own data.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from payments_local import data_folder
from payments_local.errors import LocalError
from payments_local.postgres import BIN, DATABASE, running_postgres
from payments_local.settings import REPOSITORY, LocalSettings
from payments_ona.processes import recorded

DOCKER_SECONDS_MAX = 240  # For a pull; everything else takes seconds.
ANSWER_SECONDS_MAX = 5
STOP_SECONDS_MAX = 60.0
CHOICE = "postgres-runs-in"
IMAGE_VARIABLE = "POSTGRES_IMAGE"


def serve(settings: LocalSettings) -> None:
    """Run it until SIGTERM; the data stays."""
    if choice(settings.data_dir) == "container":
        _serve_container(settings)
    else:
        _serve_embedded(settings)


def not_ready(settings: LocalSettings) -> str | None:
    """Return None if it accepts connections to its database, else pg_isready's answer."""
    command = [str(BIN / "pg_isready"), "-h", "localhost", "-p", str(settings.pg_port)]
    done = subprocess.run(  # noqa: S603 - our own command.
        [*command, "-U", "postgres", "-d", DATABASE, "-t", str(ANSWER_SECONDS_MAX)],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stdout.strip() or done.stderr.strip()


def choice(data_dir: Path) -> str:
    """Return `container` or `embedded`: POSTGRES_RUNS_IN, the earlier choice, or by engine."""
    kept = data_dir / CHOICE
    if asked := os.environ.get("POSTGRES_RUNS_IN"):
        return asked
    if kept.is_file():
        return kept.read_text().strip()
    if data_folder.postgres_dir(data_dir).is_dir():
        found = "embedded"  # `make up` has created payments here, which should stay visible.
    else:
        found = "container" if _image_at_hand(_image()) else "embedded"
    data_dir.mkdir(parents=True, exist_ok=True)
    kept.write_text(f"{found}\n")
    sys.stderr.write(f"Postgres runs {'in a container' if found == 'container' else found}\n")
    return found


def _serve_embedded(settings: LocalSettings) -> None:
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with (
        recorded(settings.data_dir, "postgres"),
        data_folder.held(settings.data_dir),
        running_postgres(settings.data_dir, settings.pg_port, durable=True) as server,
    ):
        while not stopped.wait(1.0):
            if server.child is None or server.child.exit_status is not None:
                break


def _serve_container(settings: LocalSettings) -> None:
    """Follow the container in the foreground. It is removed when it stops; its volume stays."""
    container = f"payments-postgres-{settings.pg_port}"  # Also its volume's name.
    _stop(container)  # From a start that was killed.
    _docker("rm", "--force", container)
    options = ["--rm", "--name", container, "--stop-signal", "SIGINT", "--shm-size", "128m"]
    options += ["--publish", f"127.0.0.1:{settings.pg_port}:5432"]
    options += ["--volume", f"{container}:/var/lib/postgresql/data"]
    # Reachable from this machine alone, which belongs to one developer: no password.
    options += ["--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--env", f"POSTGRES_DB={DATABASE}"]
    with recorded(settings.data_dir, "postgres"):
        client = subprocess.Popen(  # noqa: S603 - the engine's client.
            ["docker", "run", *options, _image()],  # noqa: S607 - found on PATH, as a person's is.
            # Ctrl-C reaches Postgres as one fast stop, through this process.
            start_new_session=True,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda *_: threading.Thread(target=_stop, args=(container,)).start()
            )
        status = client.wait()
    if status != 0:
        raise LocalError(f"the container of Postgres ended with status {status}")


def _stop(container: str) -> None:
    """Stop it with SIGINT, a fast shutdown; the client's own SIGTERM would be a slow one."""
    _docker("stop", "--time", f"{STOP_SECONDS_MAX:.0f}", container)


def _image() -> str:
    """Return POSTGRES_IMAGE, from the environment or from `make airgap`, else compose's."""
    if image := os.environ.get(IMAGE_VARIABLE):
        return image
    written = REPOSITORY / "deploy/airgap/airgap.env"
    lines = written.read_text().splitlines() if written.is_file() else []
    for line in lines:
        if line.startswith(f"{IMAGE_VARIABLE}="):
            return line.partition("=")[2]
    compose = (REPOSITORY / "deploy/compose/compose.yaml").read_text()
    return compose.partition("${" + IMAGE_VARIABLE + ":-")[2].partition("}")[0]


def _image_at_hand(image: str) -> bool:
    """Return whether an engine answers and has the image, or can pull it in time."""
    return _docker("image", "inspect", image) or _docker("pull", "--quiet", image)


def _docker(*arguments: str) -> bool:
    """Return whether the engine's client exists and succeeded."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments.
            ["docker", *arguments],  # noqa: S607 - found on PATH, as a person's is.
            capture_output=True,
            timeout=DOCKER_SECONDS_MAX,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
