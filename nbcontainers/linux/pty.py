"""Pseudo-terminals inside a container's own devpts: pts(4), ioctl_tty(2)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import termios

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_DEVPTS_MINOR_PTMX = 2


def open_pty(ptmx: int) -> tuple[int, int]:
    """A (master, slave) pair from the O_PATH descriptor of a devpts' ptmx, made without any further path lookup."""
    status = os.fstat(ptmx)
    if not stat.S_ISCHR(status.st_mode) or os.minor(status.st_rdev) != _DEVPTS_MINOR_PTMX:
        raise OSError(errno.ENODEV, "open pty: not a pseudo-terminal master", "/dev/pts/ptmx")
    master = os.open(f"/proc/self/fd/{ptmx}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, ctypes.c_int(0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave


def set_size(terminal: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ; the foreground process group gets SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def get_size(terminal: int) -> tuple[int, int]:
    """(rows, columns) of a terminal."""
    rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


def make_controlling(slave: int) -> None:
    """A new session with this terminal: setsid(2), TIOCSCTTY."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
