"""The frames between a client and the process that works for it: one byte kind, four bytes length, payload.

To the client:   O stdout, E stderr, S started {"pid"}, X exit record, F error (`errors.Error.to_json`)
To the monitor:  I stdin, C close stdin, W window size {"rows", "cols"}, K kill {"signal"}, D detach
Of `launcher.client.call`:  Q request, P {"pid"}, V event, R result, F error

Imports nothing: the idle monitor counts its pages.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT, STDERR, STARTED, EXIT, FAILED = b"O", b"E", b"S", b"X", b"F"
STDIN, CLOSE_STDIN, WINDOW, KILL, DETACH = b"I", b"C", b"W", b"K", b"D"
REQUEST, PID, EVENT, RESULT = b"Q", b"P", b"V", b"R"

HEADER = 5
#: No sender of ours makes a longer stream frame; a peer that announces more to the monitor is cut off.
MAX_PAYLOAD = 1 << 20


class ProtocolError(ValueError):
    """The other side sent what is no frame."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


class Frames:
    """Bytes in, whole frames out. `limit` bounds the payload of one frame; None for trusted peers."""

    def __init__(self, limit: int | None = None) -> None:
        self.buffer = bytearray()
        self.limit = limit

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self.buffer += data
        return iter(self)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        while len(self.buffer) >= HEADER:
            length = int.from_bytes(self.buffer[1:HEADER], "big")
            if self.limit is not None and length > self.limit:
                raise ProtocolError(f"a frame of {length} bytes; at most {self.limit} are allowed")
            if len(self.buffer) < HEADER + length:
                return
            kind, payload = bytes(self.buffer[:1]), bytes(self.buffer[HEADER : HEADER + length])
            del self.buffer[: HEADER + length]
            yield kind, payload
