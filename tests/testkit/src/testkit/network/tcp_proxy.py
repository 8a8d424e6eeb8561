"""A TCP proxy whose line can be slowed down or cut, in threads of its own."""

import socket
import threading
import time
from contextlib import suppress

CHUNK_BYTES = 64 * 1024


class TcpProxy:
    """Listens on `port` and passes everything on to `target_port`, both on 127.0.0.1."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay_seconds = 0.0  # Before each piece of an answer is passed on.
        self._cut = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()  # No connection is let in while the line is being cut.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, and every new one at once."""
        with self._lock:
            self._cut = True
            for pair in self._pairs:
                for end in pair:
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def mend(self) -> None:
        """Pass everything on again, without delay."""
        self._cut = False
        self.delay_seconds = 0.0

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._connect(client)
            except OSError:
                client.close()
                continue
            for source, target, slow in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pass_on, args=(source, target, slow), daemon=True
                ).start()

    def _connect(self, client: socket.socket) -> socket.socket:
        with self._lock:
            if self._cut:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            server.settimeout(None)
            self._pairs.append((client, server))
        return server

    def _pass_on(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if slow and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
