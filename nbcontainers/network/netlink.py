"""netlink(7): messages to the kernel and its answers, in as few system calls as there are.

Written by hand because a container's start waits for it: a message is packed here in microseconds, while a library
that knows all of netlink takes longer to import than the whole container takes to start.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

ROUTE, NETFILTER = 0, 12

REQUEST, MULTI, ACK, DUMP, REPLACE, EXCL, CREATE, APPEND = 0x1, 0x2, 0x4, 0x300, 0x100, 0x200, 0x400, 0x800
NESTED = 0x8000

_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12
_ACK_TLVS = 0x200
_RECEIVE_BUFFER = 1 << 20


class Message(NamedTuple):
    """One request: its type, its flags besides REQUEST, the fixed header and the attributes in `body`.

    `doing` says in words what it asks for: the kernel's refusal is reported with it.
    """

    kind: int
    flags: int
    body: bytes
    doing: str = ""


def attribute(kind: int, data: bytes | str | int = b"") -> bytes:
    """One attribute, padded. Text ends in NUL; a number is four bytes in the host's order."""
    if isinstance(data, str):
        data = data.encode() + b"\0"
    elif isinstance(data, int):
        data = struct.pack("=I", data)
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Attributes in an attribute."""
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, data) of each attribute. What is cut short ends the walk."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + (-length % 4)


class Socket:
    """A netlink socket of the network namespace in which it was made, wherever its owner goes."""

    def __init__(self, family: int = ROUTE) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self.sequence = 0
        for option in (_CAP_ACK, _EXT_ACK) + ((_STRICT,) if family == ROUTE else ()):
            self.socket.setsockopt(_SOL_NETLINK, option, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def request(self, messages: Iterable[Message]) -> None:
        """Send them as one packet; the kernel acts on each in turn. Raises OSError for the first that was refused."""
        failures = self.attempt(messages)
        if failures:
            raise failures[0][1]

    def attempt(self, messages: Iterable[Message]) -> list[tuple[Message, OSError]]:
        """The same; returns what was refused, each with why. The kernel has answered when send(2) returns."""
        sent: dict[int, Message] = {}
        packet = b""
        for message in messages:
            self.sequence += 1
            sent[self.sequence] = message
            packet += _packed(message._replace(flags=message.flags | ACK), self.sequence)
        if not packet:
            return []
        self.socket.send(packet)
        return [(sent[number], error) for number, error in self._refusals(sent)]

    def _refusals(self, sent: dict[int, Message]) -> Iterator[tuple[int, OSError]]:
        while True:
            try:
                data = self.socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            for kind, flags, sequence, body in _messages(data):
                if kind == _ERROR and sequence in sent and (error := _failure(body, flags, sent[sequence].doing)):
                    yield sequence, error

    def ask(self, kind: int, body: bytes) -> bytes:
        """The one answer to a question."""
        self.sequence += 1
        self.socket.send(_packed(Message(kind, 0, body), self.sequence))
        while True:
            for answer, flags, sequence, content in _messages(self.socket.recv(1 << 16)):
                if sequence == self.sequence and answer == _ERROR and (error := _failure(content, flags, "netlink")):
                    raise error
                if sequence == self.sequence and answer != _ERROR:
                    return content

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Everything of a kind the kernel has: the body of each message."""
        self.sequence += 1
        self.socket.send(_packed(Message(kind, DUMP, body), self.sequence))
        while True:
            for answer, flags, sequence, content in _messages(self.socket.recv(1 << 17)):
                if sequence != self.sequence:
                    continue
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    if error := _failure(content, flags, "netlink dump"):
                        raise error
                    continue
                yield content


def _packed(message: Message, sequence: int) -> bytes:
    length = _HEADER.size + len(message.body)
    header = _HEADER.pack(length, message.kind, message.flags | REQUEST, sequence, 0)
    return header + message.body + b"\0" * (-length % 4)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += length + (-length % 4)


def _failure(body: bytes, flags: int, doing: str) -> OSError | None:
    """The error in a NLMSG_ERROR, with the kernel's own words where it has any; None for an acknowledgement."""
    number = -struct.unpack_from("=i", body)[0]
    if not number:
        return None
    words = os.strerror(number)
    if flags & _ACK_TLVS:
        said = [data for kind, data in attributes(body[4 + _HEADER.size :]) if kind == 1]
        words += "".join(f" ({text.rstrip(bytes(1)).decode(errors='replace')})" for text in said)
    error = OSError(number, f"{doing}: {words}")
    error.syscall = "netlink"  # type: ignore[attr-defined]
    return error
