"""The container's end of the socket: the header and the inputs' memory in, displays and outputs out."""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_CLOEXEC, SOCK_STREAM
from _socket import socket as Socket
from _thread import allocate_lock
from array import array

from . import wire

TYPE_CHECKING = False  # typing's own import takes 3 ms
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any


class Channel:
    """Frames to the notebook, one at a time whatever thread they come from; only of the process that connected."""

    def __init__(self, path: str) -> None:
        self._socket = Socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        self._socket.connect(path)
        self._owner = os.getpid()
        self._lock = allocate_lock()

    @property
    def ours(self) -> bool:
        """False in a forked child: its frames would tear those of its parent."""
        return os.getpid() == self._owner

    def header(self) -> tuple[dict[str, Any], int]:
        """What to do, and the memory that holds it and the inputs."""
        first, extra, _, _ = self._socket.recvmsg(wire.HEAD.size, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        descriptors = array("i")
        descriptors.frombytes(extra[0][2])
        _, length = wire.HEAD.unpack(first + self._receive(wire.HEAD.size - len(first)))
        place, memory = wire.unpack(self._receive(length)), descriptors[0]
        return wire.unpack(os.pread(memory, place["size"], place["start"])), memory

    def _receive(self, length: int) -> bytes:
        parts = bytearray(length)
        view = memoryview(parts)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionError("the notebook closed the connection")
            view = view[count:]
        return bytes(parts)

    def send(self, kind: bytes, document: dict[str, Any]) -> None:
        with self._lock:
            self._socket.sendall(wire.pack(kind, document))

    def send_bytes(self, kind: bytes, data: Any) -> None:
        """One frame straight from the object's own memory."""
        view = memoryview(data).cast("B")
        with self._lock:
            self._socket.sendall(wire.HEAD.pack(kind, view.nbytes))
            self._socket.sendall(view)


class Outputs:
    """The sink of `binary.dump`: nothing is kept here, so that handing a model over needs no second copy of it."""

    def __init__(self, channel: Channel, names: list[str]) -> None:
        self._channel, self._names = channel, names
        self.restart()

    def restart(self) -> None:
        self._channel.send(wire.BEGIN, {"names": self._names})

    def write(self, data: Any) -> None:
        self._channel.send_bytes(wire.PICKLE, data)

    def finish(self, buffers: list[PickleBuffer]) -> None:
        for buffer in buffers:
            self._channel.send_bytes(wire.BUFFER, buffer.raw())
        self._channel.send_bytes(wire.COMMIT, b"")
