"""The text that `make up` prints once everything is ready: addresses, and commands to paste."""

import os
import shlex
import shutil

from payments_local.postgres import BIN
from payments_local.settings import LocalSettings

TEXT = """
Ready. Ctrl-C stops everything.

  Page      http://127.0.0.1:{ui_port}
  API       {api}  (documentation: {api}/docs)
  Worker    http://127.0.0.1:{worker_port}  (/health, /readyz, /metrics)
  Database  {database}

Other terminals use this system, with make and .venv/bin, after:

  export {exports}

Create a payment, then read its account's balance{with_key}:

  curl -sS {api}/payments -H 'Content-Type: application/json'{key} \\
    -H "Idempotency-Key: try-$(date +%s)" \\
    -d '{{"accountId": "acct_1", "amount": "100.00", "description": "A first payment"}}'; echo
  sleep 1
  curl -sS {api}/accounts/acct_1/balance{key}; echo
"""


def announcement(settings: LocalSettings) -> str:
    """Return the addresses, and curl commands that work when pasted."""
    asked = os.environ.get("PAYMENTS_API_AUTH") == "on"  # services.py passes the variable on.
    return TEXT.format(
        with_key=", with an API key in KEY" if asked else "",
        key=' -H "Authorization: Bearer $KEY"' if asked else "",
        ui_port=settings.ui_port,
        api=f"http://127.0.0.1:{settings.api_port}",
        worker_port=settings.worker_port,
        database=_how_to_reach(settings),
        exports=_exports(settings),
    )


def _exports(settings: LocalSettings) -> str:
    """Return the variables that select this run. A URL may hold a password and is not repeated."""
    ports = " ".join(f"{name}={port}" for name, port in settings.ports().items())
    if settings.database_url:
        return f"{ports} DATABASE_URL=..."
    if settings.data_dir != LocalSettings.data_dir:  # Else `make reset` would delete other data.
        return f"{ports} DATA_DIR={shlex.quote(str(settings.data_dir))}"
    return ports


def _how_to_reach(settings: LocalSettings) -> str:
    """Return a psql command, with the wheel's own psql if PATH has none.

    The database's URL may hold a password and is not repeated.
    """
    if settings.database_url:
        return "the one that DATABASE_URL names"
    psql = "psql" if shutil.which("psql") else str(BIN / "psql")
    return f"{psql} -h localhost -p {settings.pg_port} -U postgres -d payments"
