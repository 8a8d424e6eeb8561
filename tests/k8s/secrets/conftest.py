"""The script that makes a cluster's secrets."""

import importlib.util
from types import ModuleType

from testkit.deployments.k8s_manifests import (
    K8S,
)

SCRIPT = K8S / "components" / "generated-secrets" / "make_secrets.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_secrets = load_script()
