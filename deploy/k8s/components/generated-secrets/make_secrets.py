"""Generate the system's secrets at random. Never prints, reads or overwrites a secret.

    python make_secrets.py kubectl [NAMESPACE]   creates the missing ones with kubectl
    python make_secrets.py in-cluster            the same from a pod, by the Kubernetes API

Standard library only: it runs on a laptop's Python and in the payments-api image.
"""

import http.client
import json
import os
import secrets
import ssl
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

RANDOM_BYTES = 24
API_SECONDS_MAX = 10
ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
BASIC_AUTH = "kubernetes.io/basic-auth"
LABELS = {
    "app.kubernetes.io/part-of": "payments",
    "app.kubernetes.io/managed-by": "make-secrets",
}

# The secrets with a database role's password: one for each of the role's users.
ROLES = {
    "postgres-owner": "postgres",
    # Replaces postgres-owner with CloudNativePG.
    "payments-migration-database": "payments_migration",
    "payments-api-database": "payments_api",
    "recon-worker-database": "payments_worker",
    "payments-readonly-database": "payments_readonly",
    # The base's CronJob; CloudNativePG archives by itself.
    "payments-backup-database": "payments_backup",
}
API_KEY = "payments-ui-api-key"
# The page's other secrets, and the key in each that holds the random value.
PAGE = {"payments-ui-signing": "secret-key", "payments-ui-sign-in": "password"}
NAMES = (*ROLES, API_KEY, *PAGE)


def new_secret(name: str, namespace: str) -> dict[str, Any]:
    """Return a Secret object of that name with a new random value."""
    value = secrets.token_urlsafe(RANDOM_BYTES)
    if name in ROLES:
        kind, data = BASIC_AUTH, {"username": ROLES[name], "password": value}
    elif name == API_KEY:
        kind, data = "Opaque", {"api-key": new_api_key()}
    else:
        kind, data = "Opaque", {PAGE[name]: value}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": LABELS},
        "type": kind,
        "stringData": data,
    }


def new_api_key() -> str:
    """Return an API key as `payments-api keys generate` does: pay_, an id, 256 random bits."""
    lower = string.digits + string.ascii_lowercase
    key_id = "".join(secrets.choice(lower) for _ in range(12))
    secret = "".join(secrets.choice(lower + string.ascii_uppercase) for _ in range(43))
    return f"pay_{key_id}_{secret}"


def by_kubectl(namespace: str) -> None:
    """Create the missing secrets; values go through a pipe, never through an argument."""
    kubectl = [os.environ.get("KUBECTL", "kubectl"), "--namespace", namespace]
    listed = subprocess.run(  # noqa: S603 - the caller's own kubectl
        [*kubectl, "get", "secrets", "--output=jsonpath={.items[*].metadata.name}"],
        check=True,
        capture_output=True,
        text=True,
    )
    there = set(listed.stdout.split())
    for name in NAMES:
        if name in there:
            print(f"{name}: already exists")
            continue
        text = json.dumps(new_secret(name, namespace))
        create = [*kubectl, "create", "--filename=-"]
        subprocess.run(create, input=text, check=True, text=True)  # noqa: S603 - as above


def in_cluster() -> None:
    """POST each secret; 409 means that it exists."""
    namespace = (ACCOUNT_DIR / "namespace").read_text()
    context = ssl.create_default_context(cafile=str(ACCOUNT_DIR / "ca.crt"))
    connection = http.client.HTTPSConnection(
        os.environ["KUBERNETES_SERVICE_HOST"],
        int(os.environ["KUBERNETES_SERVICE_PORT_HTTPS"]),
        timeout=API_SECONDS_MAX,
        context=context,
    )
    headers = {
        "Authorization": f"Bearer {(ACCOUNT_DIR / 'token').read_text()}",
        "Content-Type": "application/json",
    }
    for name in NAMES:
        body = json.dumps(new_secret(name, namespace))
        connection.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status not in (201, 409):
            raise SystemExit(f"{name}: the Kubernetes API answered {answer.status}: {text[:500]}")
        print(f"{name}: {'made' if answer.status == 201 else 'already exists'}")


def main() -> None:
    """Create the secrets. An error ends it with one line; the Job or the user tries again."""
    try:
        match sys.argv[1:]:
            case ["in-cluster"]:
                in_cluster()
            case ["kubectl", *namespace] if len(namespace) < 2:
                by_kubectl(namespace[0] if namespace else "payments")
            case _:
                raise SystemExit(__doc__)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"kubectl failed: {error.stderr or 'see above'}") from None
    except OSError as error:
        raise SystemExit(f"cannot make the secrets: {error}") from None


if __name__ == "__main__":
    main()
