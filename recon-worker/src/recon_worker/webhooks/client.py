"""The HTTP client that sends webhooks: it follows nothing, trusts no proxy and waits 10 s.

A destination is a stranger's choice, so everything about it is bounded and checked here: the URL,
the addresses that its name has now, the certificate, the time and the size of the answer.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from uuid import UUID

import h11

from payments_core.webhooks.destination import Destination, UrlRefused, parse_url
from recon_worker.webhooks.connection import Answer, ConnectionStale, ReceiverConnection
from recon_worker.webhooks.resolve import AddressRefused, Resolver

ATTEMPT_SECONDS_MAX = 10.0  # From the look-up of the name to the answer's last byte.
IDLE_SECONDS_MAX = 10.0  # Below the usual 15 s to 75 s of servers.
AGE_SECONDS_MAX = 60.0  # Then the name is looked up again.
IDLE_CONNECTIONS_MAX = 256
IDLE_OF_ONE_MAX = 32


class AttemptFailed(Exception):
    """The receiver gave no answer; the message is one line for its operator."""


def tls_context() -> ssl.SSLContext:
    """Return a context that verifies certificates against the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class WebhookClient:
    """Connections to receivers, kept open for a moment after each answer."""

    def __init__(
        self,
        *,
        loopback_allowed: bool,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loopback_allowed = loopback_allowed
        self._resolver = resolver or Resolver()
        self._tls = tls or tls_context()
        self._idle: defaultdict[tuple[str, str, int], list[ReceiverConnection]] = defaultdict(list)

    async def post(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, endpoint_id: UUID
    ) -> Answer:
        """Send a body and return the answer of any status.

        Raises AttemptFailed, and ResolverBusy where the attempt has not begun.
        """
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
                destination = parse_url(url, loopback_allowed=self._loopback_allowed)
                return await self._post(destination, headers, body, endpoint_id)
        except UrlRefused as error:
            raise AttemptFailed(f"The URL {error}.") from error
        except AddressRefused as error:
            raise AttemptFailed(str(error)) from error
        except TimeoutError as error:
            raise AttemptFailed(f"No answer within {ATTEMPT_SECONDS_MAX:.0f} s.") from error
        except ssl.SSLCertVerificationError as error:
            raise AttemptFailed(f"The certificate is refused: {error.verify_message}.") from error
        except (OSError, h11.ProtocolError, UnicodeError) as error:
            raise AttemptFailed(_one_line(error)) from error

    async def _post(
        self,
        destination: Destination,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        endpoint_id: UUID,
    ) -> Answer:
        if (connection := self._take_idle(destination)) is not None:
            # Once: a receiver that closes every kept connection has the body only once more.
            with suppress(ConnectionStale):
                return await self._exchange(connection, destination, headers, body)
        addresses = await self._resolver.addresses(destination, endpoint_id)
        connection = await ReceiverConnection.open(destination, addresses, self._tls)
        return await self._exchange(connection, destination, headers, body)

    async def _exchange(
        self,
        connection: ReceiverConnection,
        destination: Destination,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> Answer:
        kept = False
        try:
            answer = await connection.post(destination, headers, body)
            kept = self._keep(destination, connection)
            return answer
        finally:
            if not kept:
                connection.close()

    def _take_idle(self, destination: Destination) -> ReceiverConnection | None:
        idle = self._idle.get(_key(destination), [])
        while idle:
            connection = idle.pop()
            if connection.reusable and not _is_old(connection):
                return connection
            connection.close()
        return None

    def _keep(self, destination: Destination, connection: ReceiverConnection) -> bool:
        idle = self._idle[_key(destination)]
        if not connection.reusable or _is_old(connection) or len(idle) >= IDLE_OF_ONE_MAX:
            return False
        if sum(map(len, self._idle.values())) >= IDLE_CONNECTIONS_MAX:
            return False
        idle.append(connection)
        return True

    def close_idle(self, *, all_of_them: bool = False) -> None:
        """Close connections that are unused for too long, or all of them."""
        for key, idle in list(self._idle.items()):
            for connection in list(idle):
                if all_of_them or not connection.reusable or _is_old(connection):
                    connection.close()
                    idle.remove(connection)
            if not idle:
                del self._idle[key]

    async def close(self) -> None:
        """Close every kept connection."""
        self.close_idle(all_of_them=True)
        await self._resolver.close()


def _key(destination: Destination) -> tuple[str, str, int]:
    return destination.scheme, destination.host, destination.port


def _is_old(connection: ReceiverConnection) -> bool:
    now = monotonic()
    return (
        now > connection.idle_since + IDLE_SECONDS_MAX
        or now > connection.opened_at + AGE_SECONDS_MAX
    )


def _one_line(error: BaseException) -> str:
    """Return the reason of the failure, without the addresses of the name."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(f"{type(error).__name__}: {text}".split())[:500]
