"""The collector's name: tracing begins once it resolves.

compose.yaml names a collector that runs with one of its profiles only. Without this, each service
would record spans for a collector that does not exist, and warn about it every minute.
"""

import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

LOOKUP_INTERVAL_SECONDS = 10.0
FIRST_LOOKUP_SECONDS_MAX = 1.0  # A slow resolver must not delay a service's start.

_log = logging.getLogger(__name__)


def when_named(endpoint: str, begin: Callable[[], None], stopping: threading.Event) -> None:
    """Call `begin` once the endpoint's host resolves, in a thread until `stopping` is set.

    Return after the first lookup if that takes less than FIRST_LOOKUP_SECONDS_MAX.
    """
    host = urlsplit(endpoint).hostname
    if host is None or _is_proxied(endpoint, host):
        begin()
        return
    looked = threading.Event()

    def look() -> None:
        found = _resolves(host)
        if not found:
            _log.info("collector_awaited", extra={"host": host})
        while not found:
            looked.set()
            if stopping.wait(LOOKUP_INTERVAL_SECONDS):
                return
            found = _resolves(host)
        begin()
        looked.set()

    threading.Thread(target=look, name="collector-lookup", daemon=True).start()
    looked.wait(FIRST_LOOKUP_SECONDS_MAX)


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _is_proxied(endpoint: str, host: str) -> bool:
    """Return whether a proxy resolves the name instead of this machine."""
    proxies = urllib.request.getproxies()
    return urlsplit(endpoint).scheme in proxies and not urllib.request.proxy_bypass(host)
