"""The container's log: one JSON object a line, `{"log", "stream", "time"}`, as Docker's json-file driver writes it.

A record is at most one line of output and 16 KiB. A line that came in pieces is as many records, of which only the
last ends in a newline. Output that is not UTF-8 is kept: such a byte becomes the escape of a lone surrogate, which
`.encode("utf-8", "surrogateescape")` turns back (PEP 383).

On disk: `log` is written to; when it is full it becomes `log.1`, what was that becomes `log.2`, and so on, `max_file`
files in all. A file keeps its inode while it moves, and a record is never cut in two by a rotation. So whoever reads
opens `log`, then `log.1`, … and drops an inode met twice; whoever follows reads the file they have open to its end,
then those that are newer: the `log.N` below it, the last of which is `log`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from nbcontainers.monitor.files import rfc3339

#: As long as nobody asks for more, that is all a chatty container can take of the disk.
MAX_SIZE, MAX_FILE = 16 << 20, 2
_MAX_RECORD = 16 << 10


class Log:
    """Appends to `path`, and starts anew when it is full. A full disk loses records, never the container: `lost`."""

    def __init__(
        self,
        path: str,
        max_size: int = MAX_SIZE,
        incomplete: dict[str, str] | None = None,
        max_file: int = MAX_FILE,
    ) -> None:
        self.path = path
        self.max_size, self.max_file = max_size, max_file
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
        records = [f'{{"log":{encode_basestring_ascii(line)}{tail}' for line in lines]
        whole = "".join(records).encode()
        for part in [whole] if self._size + len(whole) <= self.max_size else map(str.encode, records):
            self._append(part)

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
            self._shift()
        self._open()
        os.close(full)

    def _shift(self) -> None:
        """Make room for a new file: each goes one on, the oldest one away."""
        if self.max_file == 1:
            os.unlink(self.path)
            return
        for number in range(self.max_file - 2, 0, -1):
            try:
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")
            except FileNotFoundError:
                continue
        os.rename(self.path, f"{self.path}.1")

    def close(self) -> None:
        for stream in list(self._incomplete):
            self.write(stream, b"", last=True)
        os.close(self._file)


def open_log(folder: str, settings: Mapping[str, Any], incomplete: dict[str, str] | None = None) -> Log | None:
    """The log that `settings` (`log` of container.json: driver, max_size in bytes, max_file) ask for; None for none."""
    if settings.get("driver") == "none":
        return None
    sizes = settings.get("max_size") or MAX_SIZE, settings.get("max_file") or MAX_FILE
    return Log(f"{folder}/log", sizes[0], incomplete, sizes[1])


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
