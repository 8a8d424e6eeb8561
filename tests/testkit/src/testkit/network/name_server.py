"""A name server on UDP, whose answers a test chooses: they may change, lie, or never end."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

A, CNAME, AAAA = 1, 5, 28
NO_SUCH_NAME, FAILED, TRUNCATED = 3, 2, 0x0200

CNAMES_FOLLOWED_MAX = 4

# An answer: addresses, or the name that is meant, for the n-th question of its type.
Records = Callable[[int], Sequence[str]]


def always(*records: str) -> Records:
    """Return a name's records that never change."""
    return lambda question: records


class NameServer(threading.Thread):
    """Answers for the names of `zone`; `flags` of a name are those of its answers.

    A name in `silent` gets no answer, one in `garbage` many datagrams that belong to no question.
    """

    def __init__(
        self,
        zone: dict[str, Records],
        flags: dict[str, int],
        silent: str,
        garbage: str,
    ) -> None:
        super().__init__(daemon=True)
        self.zone, self.flags, self.silent, self.garbage = zone, flags, silent, garbage
        self._asked: Counter[tuple[str, int]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))

    def run(self) -> None:
        """Answer until the process ends."""
        while True:
            question, client = self._socket.recvfrom(512)
            name, end = _name_in(question)
            kind = struct.unpack_from(">H", question, end)[0]
            if name == self.garbage:
                for _ in range(2_000):
                    self._socket.sendto(b"\0\0" + question[2:], client)
            elif name != self.silent:
                self._socket.sendto(self._answer(question, name, kind, end + 4), client)

    def _answer(self, question: bytes, name: str, kind: int, end: int) -> bytes:
        records = list(self._found(name, kind, CNAMES_FOLLOWED_MAX))
        unknown = NO_SUCH_NAME if name not in self.zone and name not in self.flags else 0
        flags = 0x8180 | unknown | self.flags.get(name, 0)
        head = question[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0)
        return head + question[12:end] + b"".join(records)

    def _found(self, name: str, kind: int, follow: int) -> Iterator[bytes]:
        """Yield the name's records of a type, and those of the names that are meant."""
        self._asked[name, kind] += 1
        for text in self.zone.get(name, always())(self._asked[name, kind]):
            number, data = _record(text)
            if number in (kind, CNAME):
                yield _encoded(name) + struct.pack(">HHIH", number, 1, 0, len(data)) + data
            if number == CNAME and follow:
                yield from self._found(text, kind, follow - 1)


def _name_in(question: bytes) -> tuple[str, int]:
    """Return the question's name, and where its type begins."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def _record(text: str) -> tuple[int, bytes]:
    try:
        address = ip_address(text)
    except ValueError:
        return CNAME, _encoded(text)
    return (A if address.version == 4 else AAAA), address.packed


def _encoded(name: str) -> bytes:
    labels = (bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"".join(labels) + b"\0"
