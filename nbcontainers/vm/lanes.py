"""A lane: the ports by which one command of a guest is carried, its output out, its input in, or both over a terminal.

Lane 0 is the machine's own command's, the others are for `vm exec`. As ports are read apart, a command's output ends with a
token nobody else knows; what a program in the background keeps open is left after a silence.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from nbcontainers.monitor import protocol
from nbcontainers.monitor.peers import HIGH, Peer
from nbcontainers.vm import hardware

_CHUNK = 1 << 16
PIECES = {hardware.UML: 3000, hardware.TCG: 1 << 14, hardware.KVM: 1 << 14}
"""Bytes of input in a frame for the guest, which starts a dd(1) for each and asks for the next. A terminal of
user-mode-linux holds 4096, and may not wake up again where it had to hold more back."""
_INPUT_HELD = 1 << 20
"""Bytes of input that wait for a guest which does not read; no more is taken from the client."""
SILENCE_S = 1.0
"""After the end of a command, until output that somebody else keeps open is given up."""
_STREAMS = {"output": protocol.STDOUT, "errors": protocol.STDERR, "terminal": protocol.STDOUT}
_END_OF_INPUT = b"\x04"
Listener = Callable[[str, bytes], None]


class Lane:
    """`ports` by kind: output, errors, input, terminal. `listen` hears what is written: stdout or stderr, and bytes."""

    def __init__(
        self, number: int, ports: Mapping[str, socket.socket], piece: int, listen: Listener | None = None
    ) -> None:
        self.number = number
        self.piece = piece
        self.ports = dict(ports)
        self.listen = listen
        self.peer: Peer | None = None
        self.token = self.script = b""
        self.terminal = self.busy = self.idle = self.reads = self.closed = self.started = self.reading = False
        self.asked = False
        """Whether the guest was sent a part of the script, and has not taken it."""
        self.unwanted = False
        """Whether its client has died."""
        self.exit_code: int | None = None
        self.silent_at = 0.0
        """When the silence after its end has been long enough; 0 before its end."""
        self.input = bytearray()
        self.frame = bytearray()
        """What of a frame of it has not been sent."""
        self.held: dict[str, bytes] = {}
        """What may be the beginning of the token, by the kind of a port whose end has not come."""

    def begin(self, peer: Peer | None, token: str, *, reads: bool, terminal: bool) -> None:
        """Take a command; `token` is to end what it writes."""
        self.peer, self.token, self.reads, self.terminal = peer, token.encode(), reads, terminal
        self.held = dict.fromkeys(["terminal"] if terminal else ["output", "errors"], b"")
        self.busy, self.idle, self.closed, self.started, self.reading = True, False, False, False, terminal
        self.asked = self.unwanted = False
        self.exit_code, self.silent_at = None, 0.0
        self.input.clear()
        self.frame.clear()

    def part(self) -> bytes:
        """The next part of the script."""
        part, self.script = self.script[: self.piece], self.script[self.piece :]
        return part

    @property
    def done(self) -> bool:
        """Whether the command has ended and all it wrote has come."""
        return self.exit_code is not None and not self.held

    @property
    def hears(self) -> bool:
        """Whether more of its client's input may come."""
        return len(self.input) < _INPUT_HELD

    def sources(self) -> dict[int, str]:
        """The ports to read now: none while its client does not read."""
        if self.peer and not self.peer.gone and len(self.peer.outgoing) >= HIGH:
            return {}
        return {self.ports[kind].fileno(): kind for kind in self.held}

    def sink(self) -> socket.socket | None:
        """The port to write to now."""
        if not self.frame and self.started:
            self.frame += self._next()
        if not self.frame:
            return None
        return self.ports["terminal" if self.terminal else "input"]

    def _next(self) -> bytes:
        """What to send once the frame before is gone; of input only where the guest has asked for it."""
        if self.terminal:
            found = bytes(self.input)
            self.input.clear()
            return found
        if not self.reading or not (self.input or self.closed):
            return b""
        self.reading = False
        piece = bytes(self.input[: self.piece])
        del self.input[: self.piece]
        self.closed = self.closed and bool(piece)
        return b"%d\n%b" % (len(piece), piece)

    def take(self, payload: bytes) -> None:
        """Input for the command."""
        if self.reads:
            self.input += payload

    def close_input(self) -> None:
        if not self.reads:
            return
        self.reads = False
        if self.terminal:
            self.input += _END_OF_INPUT
        else:
            self.closed = True

    def ended(self, status: int) -> None:
        """The guest says so, which reads its input to the end in any case."""
        self.input.clear()
        if self.terminal:
            self.reads = False
            self.frame.clear()
        self.close_input()
        self.exit_code = status
        self.silent_at = time.monotonic() + SILENCE_S

    def read(self, kind: str) -> None:
        """Carry on what a port has."""
        try:
            data = os.read(self.ports[kind].fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self.silent_at:
            self.silent_at = time.monotonic() + SILENCE_S
        held = self.held.pop(kind)
        if not data:  # the machine has ended
            self.give(kind, held)
            return
        before, found, _ = (held + data).partition(self.token)
        if not found:
            rest = _beginning(before, self.token)
            before, self.held[kind] = before[: len(before) - rest], before[len(before) - rest :]
        self.give(kind, before)

    def give(self, kind: str, data: bytes) -> None:
        frame = _STREAMS[kind]
        if data and self.listen:
            self.listen("stderr" if frame == protocol.STDERR else "stdout", data)
        if data and self.peer:
            self.peer.send(protocol.frame(frame, data))

    def write(self, port: socket.socket) -> None:
        try:
            sent = port.send(self.frame)
            del self.frame[:sent]
        except BlockingIOError:
            return
        except OSError:  # the guest has gone
            self.frame.clear()

    def free(self) -> None:
        """The guest has done with it."""
        self.busy, self.peer = False, None
        self.held.clear()
        self.input.clear()
        self.frame.clear()


def of(kind: str, ports: Mapping[str, socket.socket], listen: Listener | None) -> list[Lane]:
    """All of them, over the ports by name of a machine of that kind."""
    own = [{one: ports[f"{one}{number}"] for one in hardware.KINDS_OF_PORTS} for number in range(hardware.LANES)]
    return [Lane(number, own[number], PIECES[kind], None if number else listen) for number in range(hardware.LANES)]


def _beginning(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` may be the first of `token`."""
    for length in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:length]):
            return length
    return 0
