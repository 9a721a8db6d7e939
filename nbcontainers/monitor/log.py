"""The container's log: one JSON object a line, `{"log", "stream", "time"}`, as Docker's json-file driver writes it.

A record is at most one line of output and 16 KiB. A line that came in pieces is as many records, of which only the
last ends in a newline. Output that is not UTF-8 is kept: such a byte becomes the escape of a lone surrogate, which
`.encode("utf-8", "surrogateescape")` turns back (PEP 383).
"""

from __future__ import annotations

import os
import time
from json.encoder import encode_basestring_ascii

from nbcontainers.monitor.files import rfc3339

#: Two files of this size are kept: `log`, and `log.1` with what came before.
MAX_SIZE = 16 << 20
_MAX_RECORD = 16 << 10


class Log:
    """Appends to `path`, and starts anew when it is full. A full disk loses records, never the container: `lost`."""

    def __init__(self, path: str, max_size: int = MAX_SIZE, incomplete: dict[str, str] | None = None) -> None:
        self.path = path
        self.max_size = max_size
        self.lost = 0
        self._incomplete = {name: bytes.fromhex(text) for name, text in (incomplete or {}).items()}
        self._open()

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    @property
    def incomplete(self) -> dict[str, str]:
        """The first bytes of a character whose rest has not come yet, by stream."""
        return {name: data.hex() for name, data in self._incomplete.items() if data}

    def write(self, stream: str, data: bytes, *, last: bool = False) -> None:
        """Append what was read at once; a character cut off at its end waits for its rest, unless nothing follows."""
        data = self._incomplete.pop(stream, b"") + data
        rest = b"" if last else cut_off(data)
        if rest:
            data, self._incomplete[stream] = data[: -len(rest)], rest
        if not data:
            return
        tail = f',"stream":"{stream}","time":"{rfc3339(time.time_ns())}"}}\n'
        lines = _pieces(data.decode("utf-8", "surrogateescape"))
        self._append("".join([f'{{"log":{encode_basestring_ascii(line)}{tail}' for line in lines]).encode())

    def _append(self, records: bytes) -> None:
        try:
            if self._size and self._size + len(records) > self.max_size:
                self._rotate()
            self._size += os.write(self._file, records)
        except OSError:  # ENOSPC, EDQUOT, EFBIG
            self.lost += 1

    def _rotate(self) -> None:
        full = self._file
        if os.path.exists(self.path):  # not after a rotation that found no room for a new file
            os.rename(self.path, f"{self.path}.1")
        self._open()
        os.close(full)

    def close(self) -> None:
        for stream in list(self._incomplete):
            self.write(stream, b"", last=True)
        os.close(self._file)


def _pieces(text: str) -> list[str]:
    """Lines with their ends, cut where they are longer than a record may be."""
    lines = text.split("\n")
    last = lines.pop()
    found = [f"{line}\n" for line in lines]
    if last:
        found.append(last)
    if len(text) <= _MAX_RECORD:
        return found
    return [line[at : at + _MAX_RECORD] for line in found for at in range(0, len(line), _MAX_RECORD)]


def cut_off(data: bytes) -> bytes:
    """The beginning of a UTF-8 character at the end of `data` whose rest is missing; b"" if there is none."""
    for length in (1, 2, 3):
        if length > len(data):
            break
        byte = data[-length]
        if byte & 0xC0 != 0x80:
            wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC2 else 1
            return data[-length:] if wanted > length else b""
    return b""
