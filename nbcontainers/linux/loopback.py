"""Bring up the loopback interface of a network namespace: netdevice(7)."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def up(name: bytes = b"lo") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as inet:
        request = fcntl.ioctl(inet, _SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
        flags = struct.unpack_from("H", request, 16)[0] | _IFF_UP
        fcntl.ioctl(inet, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags))
