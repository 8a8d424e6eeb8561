"""A stand-in for a service: answers /readyz on a port, and misbehaves on request.

python fake_service.py PORT [never-ready | dies | dies-later | dies-second | ignores-sigterm]

dies-later: dies one second after each start. dies-second: dies one second after the first start
and immediately after the second; a file in DATA_DIR tells them apart.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = "never-ready" not in sys.argv
        body = b'{"status":"ok"}' if ready else b'{"detail":"schema is not at head"}'
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name.
        """Log nothing."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    say(f"serving as {os.environ.get('DATABASE_URL', 'nobody')}")
    if "dies" in sys.argv:
        say("the flux capacitor is missing")
        sys.exit(3)
    if "dies-second" in sys.argv:
        started = Path(os.environ["DATA_DIR"]) / f"started-{sys.argv[1]}"
        if started.exists():
            say("the flux capacitor is missing")
            sys.exit(3)
        started.touch()
    if "dies-later" in sys.argv or "dies-second" in sys.argv:
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)

    def stop(*_: object) -> None:
        say("asked to stop")
        if "ignores-sigterm" not in sys.argv:
            threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.02)
    say("bye")


if __name__ == "__main__":
    main()
