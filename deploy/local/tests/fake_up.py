"""`payments_local up` with stand-ins for migrate and the services; real Postgres, real signals.

FAKE_API, FAKE_WORKER, FAKE_UI and FAKE_MIGRATE hold a misbehaviour of fake_service.py.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import payments_local.__main__ as command
from payments_local.children import ChildSpec
from payments_local.services import Plan, Service, plan
from payments_local.settings import LocalSettings

FAKE_SERVICE = Path(__file__).with_name("fake_service.py")


def fake_plan(settings: LocalSettings) -> Plan:
    real = plan(settings)
    services = tuple(Service(_fake(one.spec, one.port), one.port) for one in real.services)
    migrate = f"import sys; print('migrated'); sys.exit({os.environ.get('FAKE_MIGRATE', '0')})"
    return Plan(replace(real.migrate, command=(sys.executable, "-c", migrate)), services)


def _fake(spec: ChildSpec, port: int) -> ChildSpec:
    behaviour = os.environ.get(f"FAKE_{spec.name.upper()}", "").split()
    # Shorter than the real bounds, to keep the tests fast.
    return replace(
        spec,
        command=(sys.executable, str(FAKE_SERVICE), str(port), *behaviour),
        stop_seconds_max=1.0,
    )


if __name__ == "__main__":
    # Under `nohup` the tests pass an ignored SIGHUP on, which a run respects.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    setattr(command, "plan", fake_plan)  # noqa: B010 - the name is private to that module.
    command.main()
