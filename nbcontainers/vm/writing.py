"""What a machine writes to the disk: its command's output, as a container's log, and its kernel's words as dmesg(1) has
them."""

from __future__ import annotations

import re

from nbcontainers.monitor.log import Log

_KERNEL_MOST = 1 << 20
"""Bytes of its kernel's words that are kept, then it starts anew."""
_RECORD_MOST = 1 << 14
_MICROSECONDS = re.compile(rb"[0-9]{1,18}")


class Writing:
    """The files `log` and `console` of a folder."""

    def __init__(self, folder: str) -> None:
        self._log = Log(f"{folder}/log")
        self._console = open(f"{folder}/console", "ab", buffering=0)  # noqa: SIM115 - lives as long as we
        self._size = 0
        self._rest = b""

    def log(self, stream: str, data: bytes) -> None:
        self._log.write(stream, data)

    def kernel(self, data: bytes) -> list[str]:
        """Records of /dev/kmsg: `6,123,4567890,-;text`, and lines of variables that begin with a space; those that are
        whole, as dmesg(1) has them."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_RECORD_MOST]
        text = b"".join(map(_readable, lines))
        try:
            if self._size + len(text) > _KERNEL_MOST:
                self._console.truncate(0)
                self._size = 0
            self._size += self._console.write(text)
        except OSError:  # a full disk loses words, never the machine
            pass
        return text.decode(errors="replace").splitlines()

    def close(self) -> None:
        self._log.close()
        self._console.close()


def _readable(line: bytes) -> bytes:
    head, separator, text = line.partition(b";")
    fields = head.split(b",")
    if line.startswith(b" ") or not separator or len(fields) < 3 or not _MICROSECONDS.fullmatch(fields[2]):
        return b""
    seconds, micros = divmod(int(fields[2]), 10**6)
    return b"[%5d.%06d] %b\n" % (seconds, micros, text)
