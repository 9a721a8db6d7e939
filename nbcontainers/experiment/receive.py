"""The notebook's end of the socket: whole frames out of bytes, outputs kept apart until they are committed.

Nothing that arrives is believed: kinds, their order and every length are checked before memory is taken for them.
"""

from __future__ import annotations

import io
import mmap
import socket
from collections.abc import Iterator
from typing import Any

from nbcontainers.errors import ContainerFailed
from nbcontainers.experiment.inside import binary, wire

_SMALL = 2**16
_PER_READ = 2**20
_PER_TURN = 2**23


class Outputs:
    """The names of a BEGIN, and what followed it."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.pickles, self.committed = names, io.BytesIO(), False
        self.buffers: list[memoryview] = []
        self.size = 0

    def load(self) -> dict[str, object]:
        """The objects. They are unpickled: only for code that is the notebook's own. Raises binary.NotLoaded."""
        self.pickles.seek(0)
        return binary.load(self.names, self.pickles, self.buffers)


class Receiver:
    """Reads what is there without waiting. `outputs` are complete when `committed`; `end` is the cell's last word."""

    def __init__(self, connection: socket.socket, wanted: list[str], most_bytes: int) -> None:
        connection.setblocking(False)
        self._socket, self._wanted, self._most = connection, wanted, most_bytes
        self.outputs: Outputs | None = None
        self.end: dict[str, Any] | None = None
        self.closed = False
        self._kind = b""
        self._payload = memoryview(bytearray(wire.HEAD.size))
        self._filled = self._turn = 0

    def read(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The displays that have arrived, as (kind, document). Raises ContainerFailed on what is no frame.

        Of a large output it takes some MiB at a time, so that the caller gets its turn.
        """
        self._turn = _PER_TURN
        while not self.closed and self._fill():
            whole, self._filled = self._payload, 0
            if not self._kind:
                self._kind, length = wire.HEAD.unpack(whole)
                self._payload = self._room(length)
                if length:
                    continue
                whole = self._payload
            kind, self._kind = self._kind, b""
            self._payload = memoryview(bytearray(wire.HEAD.size))
            if document := self._frame(kind, whole):
                yield kind, document

    def _fill(self) -> bool:
        """Read into the current payload; True when it is whole."""
        while self._filled < len(self._payload):
            if self._turn <= 0:
                return False
            try:
                count = self._socket.recv_into(self._payload[self._filled : self._filled + _PER_READ])
            except BlockingIOError:
                return False
            except ConnectionResetError:
                count = 0
            if not count:
                self.closed = True
                return False
            self._filled += count
            self._turn -= count
        return True

    def _room(self, length: int) -> memoryview:
        """Memory for the payload that was announced, if it may be that long."""
        if self.end is not None:
            raise _nonsense("a frame after the last one")
        if self._kind in wire.JSON_KINDS:
            if length > wire.LARGEST_JSON:
                raise _nonsense(f"a display of {length} bytes")
            return memoryview(bytearray(length))
        if self._kind not in (wire.PICKLE, wire.BUFFER, wire.COMMIT) or not self.outputs or self.outputs.committed:
            raise _nonsense(f"a frame of kind {self._kind!r}")
        self.outputs.size += length
        if self.outputs.size > self._most:
            raise ContainerFailed(
                f"the outputs are larger than the memory that is free for them ({self._most >> 20} MiB)",
                hint="give back less: a sample, a sum, or a file in a folder mounted with -v",
            )
        if length < _SMALL:
            return memoryview(bytearray(length))
        return memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def _frame(self, kind: bytes, payload: memoryview) -> dict[str, Any] | None:
        """Take one whole frame; displays are handed on."""
        if kind == wire.PICKLE and self.outputs:
            self.outputs.pickles.write(payload)
        elif kind == wire.BUFFER and self.outputs:
            self.outputs.buffers.append(payload)
        elif kind == wire.COMMIT and self.outputs:
            self.outputs.committed = True
        else:
            return self._document(kind, payload)
        return None

    def _document(self, kind: bytes, payload: memoryview) -> dict[str, Any] | None:
        try:
            document = wire.unpack(bytes(payload))
        except (ValueError, RecursionError):
            raise _nonsense("a frame that is no JSON object") from None
        if kind == wire.BEGIN:
            if document.get("names") != self._wanted:
                raise _nonsense("outputs that were not asked for")
            self.outputs = Outputs(self._wanted)
        elif kind == wire.END:
            self.end = document
        elif kind in (wire.SHOW, wire.CLEAR):
            return document
        return None


def _nonsense(what: str) -> ContainerFailed:
    return ContainerFailed(
        f"the container's Python sent {what}",
        hint="does the cell write to descriptors that are not its own? run it again without that",
    )


def memory_free() -> int:
    """Bytes that may be taken for outputs without swapping: proc_meminfo(5), MemAvailable."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 2**30
