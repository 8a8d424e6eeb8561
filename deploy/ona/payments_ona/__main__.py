"""`python -m payments_ona start|ready|stop NAME | migrate`; deploy/ona/ona.mk calls it.

`start` waits for the service's dependencies, then becomes the service until it is stopped. `ready`
exits with 0 once the service answers. `stop` returns when the service has drained and ended, or
does not run. NAME is postgres, api, ui or worker.
"""

import argparse
import os
import subprocess
import sys

from payments_local.errors import LocalError
from payments_local.services import Service, plan, readiness
from payments_local.settings import REPOSITORY, LocalSettings
from payments_ona import postgres
from payments_ona.ports import open_port
from payments_ona.processes import become, recorded, stop_recorded
from payments_ona.waiting import wait_until

NAMES = ("postgres", "api", "ui", "worker")
# The first start creates a cluster or pulls an image.
POSTGRES_SECONDS_MAX = 300.0
API_SECONDS_MAX = 300.0


def main() -> int:
    """Run the command; return its exit status. An expected failure is one line on stderr."""
    parser = argparse.ArgumentParser(prog="payments_ona", description=__doc__)
    parser.add_argument("verb", choices=("start", "ready", "stop", "migrate"))
    parser.add_argument("name", nargs="?", choices=NAMES)
    options = parser.parse_args()
    if (options.verb == "migrate") == bool(options.name):
        parser.error("name a service for start, ready and stop, and none for migrate")
    try:
        settings = LocalSettings.from_environ(os.environ)
        if options.verb == "start":
            start(settings, options.name)
        elif options.verb == "migrate":
            migrate(settings)
        elif options.verb == "stop":
            stop(settings, options.name)
        elif problem := not_ready(settings, options.name):
            raise LocalError(f"{options.name} is not ready: {problem}")
        else:
            open_port(settings, options.name)
    except LocalError as error:
        error.show()
        return 1
    return 0


def start(settings: LocalSettings, name: str) -> None:
    """Become the service, once its dependencies are ready. Raises LocalError if they are not."""
    if name == "postgres":
        postgres.serve(settings)
        return
    service = _services(settings)[name]
    if name == "ui":
        wait_until("the API", lambda: readiness(settings.api_port), API_SECONDS_MAX)
    else:
        # The first service migrates the schema; the other waits for its lock and finds it done.
        migrate(settings)
    with recorded(settings.data_dir, name):
        become(service.spec)


def not_ready(settings: LocalSettings, name: str) -> str | None:
    """Return None if the service is ready, else the reason."""
    if name == "postgres":
        return postgres.not_ready(settings)
    return readiness(_services(settings)[name].port)


def stop(settings: LocalSettings, name: str) -> None:
    """Stop it and wait for its end: the caller's SIGKILL never interrupts a drain."""
    if name == "postgres":
        seconds_max = postgres.STOP_SECONDS_MAX
    else:
        seconds_max = _services(settings)[name].spec.stop_seconds_max
    stop_recorded(settings.data_dir, name, seconds_max)


def migrate(settings: LocalSettings) -> None:
    """Bring the schema to the newest revision, once Postgres answers."""
    wait_until("Postgres", lambda: postgres.not_ready(settings), POSTGRES_SECONDS_MAX)
    spec = plan(settings).migrate
    done = subprocess.run(  # noqa: S603 - our own command.
        spec.command, env=dict(spec.environ), cwd=REPOSITORY, check=False
    )
    if done.returncode != 0:
        raise LocalError("the migration failed; its own message stands above")


def _services(settings: LocalSettings) -> dict[str, Service]:
    return {service.spec.name: service for service in plan(settings).services}


if __name__ == "__main__":
    sys.exit(main())
