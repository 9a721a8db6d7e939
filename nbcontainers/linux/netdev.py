"""Counters of network interfaces: proc_pid_net_dev(5).

Two lines of headings, then a line an interface: its name and a colon, eight figures of what it received (the first is
bytes) and eight of what it sent.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

_PIECE = 65536
Traffic = tuple[int, int]
"""Bytes received and sent."""


def open_of(pid: int) -> int:
    """The file of a process's network namespace, which lives as long as this is open. Raises OSError."""
    return os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)


def content(descriptor: int) -> bytes:
    """All of it from the beginning: the kernel gives whole lines, about a page at a time."""
    pieces = [os.pread(descriptor, _PIECE, 0)]
    read = len(pieces[0])
    while piece := os.pread(descriptor, _PIECE, read):
        pieces.append(piece)
        read += len(piece)
    return b"".join(pieces)


def of(pid: int) -> bytes:
    """The same, opened for this once."""
    descriptor = open_of(pid)
    try:
        return content(descriptor)
    finally:
        os.close(descriptor)


def interfaces(text: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, Traffic]]:
    """Name and traffic of each interface whose name begins so."""
    for line in text.split(b"\n")[2:]:
        line = line.lstrip()
        if line.startswith(prefix) and line:
            name, _, figures = line.partition(b":")
            words = figures.split(None, 9)
            yield name, (int(words[0]), int(words[8]))


def total(text: bytes) -> Traffic:
    """Of all interfaces but the loopback."""
    found = [traffic for name, traffic in interfaces(text) if name != b"lo"]
    return sum(received for received, _ in found), sum(sent for _, sent in found)


def other_ends(text: bytes, cables: Collection[bytes]) -> Traffic | None:
    """What was received and sent at the other ends of cables (veth(4)) whose near ends are here: all of them, or None."""
    found = [traffic for name, traffic in interfaces(text) if name in cables]
    if len(found) < len(cables):
        return None
    return sum(sent for _, sent in found), sum(received for received, _ in found)
