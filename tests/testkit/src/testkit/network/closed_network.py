"""Send webhooks in a network of our own: real names, real addresses, nothing outside.

`in_closed_network` runs this file as a program in new namespaces of Linux, in which the loopback
device also has addresses of the internet and of private networks. A receiver listens on port 443 of
each.
"""

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

PUBLIC, PRIVATE, METADATA = "8.8.8.8", "10.0.0.1", "169.254.169.254"
MUTE = "8.8.4.4"  # It accepts connections, and never says a word of TLS.
ADDRESSES = (PUBLIC, PRIVATE, METADATA, "127.0.0.1", "::1", "fd00::1")
HOST = "hooks.example.com"  # Each scenario's name is below it.
SETUP = """
printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >"$1/resolv.conf" &&
mount --bind "$1/resolv.conf" /etc/resolv.conf && ip link set lo up &&
for each in 8.8.8.8 8.8.4.4 10.0.0.1 169.254.169.254; do ip addr add $each/32 dev lo; done &&
ip addr add fd00::1/128 dev lo nodad && exec "$2" -m testkit.network.closed_network "$1"
"""
OWN_NAMESPACES = ("unshare", "--map-root-user", "--mount", "--net")


def in_closed_network(folder: Path) -> dict[str, Any]:
    """Return, for each scenario, the outcome of each attempt and the addresses that were reached.

    `folder` holds cert.pem and key.pem of the wildcard name.
    """
    command = [*OWN_NAMESPACES, "sh", "-ec", SETUP, "sh", str(folder), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scenarios() -> tuple[dict[str, Any], dict[str, int]]:
    """Return the records of each scenario's name, and the flags of some answers."""
    from testkit.network.name_server import FAILED, TRUNCATED, always

    own = {
        "public": always(PUBLIC),
        "mute": always(MUTE),
        "redirecting": always(PUBLIC),
        "private": always(PRIVATE),
        "one of several": always(PUBLIC, PRIVATE),
        "another family": always(PUBLIC, "::1"),
        "mapped": always(f"::ffff:{PRIVATE}"),
        "translated": always("64:ff9b::a00:1"),
        "zero": always("0.0.0.0"),  # nosec B104 - a record's data.
        "zero in six": always("::"),
        "metadata": always(METADATA),
        "link-local": always("fe80::1"),
        "unique local": always("fd00::1"),
        "chain": always(f"chain-2.{HOST}"),
        "loop": always(f"loop.{HOST}"),
        # The answer is public when it is checked, and private ever after.
        "rebinding": lambda question: [PUBLIC if question == 1 else "127.0.0.1"],
        "failing": always(),
        "truncated": always(PUBLIC),
    }
    zone = {f"{name.replace(' ', '-')}.{HOST}": records for name, records in own.items()}
    zone[f"chain-2.{HOST}"] = always(f"chain-3.{HOST}")
    zone[f"chain-3.{HOST}"] = always(PRIVATE)
    flags = {f"failing.{HOST}": FAILED, f"truncated.{HOST}": TRUNCATED}
    return zone, flags


async def main(folder: Path) -> dict[str, Any]:
    """Send to each name of the scenarios, twice, and return what happened."""
    from recon_worker.webhooks import connection
    from recon_worker.webhooks.client import AttemptFailed, WebhookClient, tls_context
    from testkit.network.name_server import NameServer
    from testkit.network.receiver import answer, running_receiver

    connection.CONNECT_SECONDS_MAX = 0.5
    zone, flags = scenarios()
    silent, garbage = f"silent.{HOST}", f"garbage.{HOST}"
    NameServer(zone, flags, silent, garbage).start()
    trusting = tls_context()
    trusting.load_verify_locations(folder / "cert.pem")
    found: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        receivers = {
            address: await stack.enter_async_context(running_receiver(tls, address, 443))
            for address in ADDRESSES
        }

        stack.enter_context(socket.create_server((MUTE, 443)))

        async def redirect(request: Any, writer: asyncio.StreamWriter) -> None:
            redirects = request.headers["host"].startswith("redirecting")
            to = f"location: https://private.{HOST}/"
            writer.write(answer(302, b"", to) if redirects else answer(200))

        receivers[PUBLIC].behave = redirect
        for name in (*zone, silent, garbage, f"unknown.{HOST}"):
            outcomes: list[int | str] = []
            for _ in range(2):
                client = WebhookClient(loopback_allowed=False, tls=trusting)
                try:
                    sent = await client.post(f"https://{name}/", [], b"{}", UUID(int=1))
                    outcomes.append(sent.status)
                except AttemptFailed as failed:
                    outcomes.append(str(failed))
                await client.close()
            reached = _reached(receivers)
            found[name.removesuffix(f".{HOST}")] = {"outcomes": outcomes, "reached": reached}
    return found


def _reached(receivers: dict[str, Any]) -> Sequence[str]:
    """Return the addresses that were connected to since the last call."""
    reached = [address for address, one in receivers.items() if one.connections]
    for one in receivers.values():
        one.connections = 0
    return reached


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
