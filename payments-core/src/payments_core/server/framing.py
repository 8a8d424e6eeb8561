"""HTTP/1.1 message framing: reject every request that another parser could read differently.

A proxy in front that finds a request's end at another byte than this server does would pass one
client's answer to another. h11 is lenient where RFC 9112 permits it; this is not.
"""

import re
from functools import lru_cache

import h11

from payments_core.server.limits import HEADERS_MAX, HEADERS_MAX_BYTES

# Control characters except TAB, CR and LF. h11 rejects only NUL.
CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# Headers that a request may contain only once. h11 checks Host and Transfer-Encoding, but merges
# equal lengths.
ONCE = (b"\nauthorization:", b"\ncontent-length:", b"\ncontent-type:")


class StrictConnection(h11.Connection):
    """h11's server side, which raises for ambiguous requests.

    Once `ended` is set, or the client announced its last request, further bytes are ignored: they
    are no request, and must not replace the answer to the one before.
    """

    ended = False
    _skipped_line = False  # Since the last request; a second empty line is an error.

    @property
    def ignores_input(self) -> bool:
        """Whether no further request can arrive."""
        return self.ended or self.their_state in (h11.MUST_CLOSE, h11.CLOSED)

    @property
    def has_part_of_a_head(self) -> bool:
        """Whether a request has begun whose headers are incomplete."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event. Raises RemoteProtocolError for an ambiguous request."""
        state = self.their_state
        if self.ended or state is h11.MUST_CLOSE or state is h11.CLOSED:
            return h11.NEED_DATA
        if state is not h11.IDLE:
            return super().next_event()
        received, at_eof = self.trailing_data
        if not self._skipped_line and received.startswith(b"\r"):
            if received == b"\r" and not at_eof:
                return h11.NEED_DATA
            if received.startswith(b"\r\n"):
                # RFC 9112, 2.2: some clients end a body with an empty line that is no part of it.
                self._receive_buffer.maybe_extract_at_most(2)
                self._skipped_line = True
                received = received[2:]
        event = super().next_event()
        if not isinstance(event, h11.Request):
            return event
        self._skipped_line = False
        # h11 also accepts headers that end in bare line feeds; the bytes below then contain them.
        end = received.find(b"\r\n\r\n")
        head = received if end < 0 else received[: end + 4]
        lower = head.lower()
        status = _status_of_fault(event, head, lower)
        if status:
            raise h11.RemoteProtocolError("ambiguous request", error_status_hint=status)
        if event.target.startswith(b"/") and b"\nupgrade:" not in lower:
            return event
        return _in_origin_form(event)


def _status_of_fault(request: h11.Request, head: bytes, lower: bytes) -> int:
    """Return the status to reject the request with, or 0 if it is valid. `head` is its bytes."""
    if request.http_version not in (b"1.1", b"1.0"):
        return 505
    lines = head.count(b"\r\n")
    if lines > HEADERS_MAX + 2 or len(head) > HEADERS_MAX_BYTES:
        return 431
    if (
        not lines == head.count(b"\n") == head.count(b"\r")  # A lone CR or LF.
        or b"\r\n " in head  # A folded header.
        or b"\r\n\t" in head
        or len(head.translate(None, CONTROLS)) != len(head)
    ):
        return 400
    if request.method.upper() != request.method:
        return 501  # Methods are case-sensitive; Hypercorn would change the case.
    if any(lower.count(name) > 1 for name in ONCE):
        return 400
    return 0 if _is_sound(request, lower) else 400


def _is_sound(request: h11.Request, lower: bytes) -> bool:
    if b"\ncontent-length:" in lower:
        # As sent: h11 reads "5, 5" as 5.
        length = _field(lower, b"\ncontent-length:")
        if b"\ntransfer-encoding:" in lower or not length.isdigit():
            return False
    elif b"\ntransfer-encoding:" in lower and request.http_version == b"1.0":
        return False
    if b"\nupgrade:" in lower and _field(lower, b"\nupgrade:") == b"websocket":
        return False  # A WebSocket client does not expect a plain HTTP answer.
    host = _field(lower, b"\nhost:")
    if not _is_host(host):
        return False
    target = request.target
    if target.startswith(b"/") or (target == b"*" and request.method == b"OPTIONS"):
        return b"#" not in target
    # The absolute form states the host a second time.
    return bool(host) and target.lower().startswith(b"http://" + host + b"/")


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    return HOST.fullmatch(host) is not None


def _field(lower: bytes, name: bytes) -> bytes:
    """Return the header's value; `lower` contains it once at most."""
    return lower.partition(name)[2].partition(b"\r")[0].strip(b" \t")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Return the request as the application expects it: no host in its target, no upgrade."""
    target = request.target
    if not target.startswith((b"/", b"*")):
        target = b"/" + target.split(b"/", 3)[3]
    headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
    return h11.Request(
        method=request.method, target=target, headers=headers, http_version=request.http_version
    )
