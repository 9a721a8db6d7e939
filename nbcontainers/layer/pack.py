"""A writer of tar streams for layers: the same tree gives the same bytes, and every reader of tars reads them.

ustar with PAX records (POSIX.1-2001) only where a field does not fit: long names, large ids and sizes, times with
nanoseconds or before 1970, extended attributes (SCHILY.xattr), files with holes (GNU.sparse 1.0). No names of users,
no access or change times. Whiteouts are explicit files (image-spec, layer.md). Symlinks, devices and FIFOs are never
opened; a file is opened without following links, and exactly as many bytes as its header promises are written.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import adler32

from nbcontainers.layer import tar, xattrs
from nbcontainers.layer.changes import Change
from nbcontainers.layer.holes import extents
from nbcontainers.layer.tree import show

PIECE = 512 << 10
_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST_ID, _LARGEST_SIZE = 0o7777777, 0o77777777777
_HOLE = 256 << 10
"""Bytes of holes that are worth a sparse member, and of the smallest one that is left out."""
_PARTS = 1 << 14
_SMALL = 64 << 10
_KINDS = {
    stat.S_IFREG: tar.REGULAR, stat.S_IFDIR: tar.DIRECTORY, stat.S_IFLNK: tar.SYMLINK, stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.DEVICE, stat.S_IFIFO: tar.FIFO,
}  # fmt: skip
_WHITEOUT = b".wh."
_NOTED = 20

Records = dict[bytes, bytes]


class Packer:
    """`pieces` gives the tar; then `facts` holds its `entries`, how many of them are `files` (all but folders), `size`
    (bytes of files), and what was `left_out`: a count, with the first paths and reasons in `notes`. `epoch`: no file is
    newer (seconds; SOURCE_DATE_EPOCH). A tar that is no `layer` may hold any name."""

    def __init__(self, epoch: int | None = None, *, layer: bool = True) -> None:
        self._layer = layer
        self._latest = None if epoch is None else epoch * 1_000_000_000
        self._links: dict[tuple[int, int], bytes] = {}
        self.facts: dict[str, Any] = {"entries": 0, "files": 0, "size": 0, "left_out": 0, "notes": []}

    def pieces(self, changes: Iterable[Change]) -> Iterator[bytes]:
        """The tar of the changes, in their order, in pieces of some 512 KiB."""
        buffer = bytearray()
        for change in changes:
            for data in self._member(change):
                if len(data) >= PIECE:
                    if buffer:
                        yield bytes(buffer)
                        buffer.clear()
                    yield data
                else:
                    buffer += data
            if len(buffer) >= PIECE:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer) + bytes(2 * tar.BLOCK)

    def write(self, changes: Iterable[Change], file: int) -> dict[str, Any]:
        """The tar of the changes into an open file; the facts."""
        with open(file, "wb", closefd=False) as target:
            for piece in self.pieces(changes):
                target.write(piece)
        return self.facts

    def _member(self, change: Change) -> Iterable[bytes]:
        if reason := self._unfit(change):
            self.leave_out(change.path, reason)
            return ()
        if change.kind == "D":
            above, _, name = change.path.rpartition(b"/")
            self._count()
            return (_header((above + b"/" if above else b"") + _WHITEOUT + name, tar.REGULAR, {}),)
        if stat.S_ISREG(change.status.st_mode):
            return self._regular(change)
        return self._other(change)

    def unreadable(self, path: bytes) -> None:
        """A folder that may not be read."""
        self.leave_out(path, "the folder may not be read")

    def leave_out(self, path: bytes, reason: str) -> None:
        """Count something that is not in the tar."""
        self.facts["left_out"] += 1
        if len(self.facts["notes"]) < _NOTED:
            self.facts["notes"].append(f"{show(path)[:300]}: {reason}")

    def _unfit(self, change: Change) -> str:
        """Why no tar can hold it; "" usually."""
        if change.kind != "D" and stat.S_IFMT(change.status.st_mode) not in _KINDS:
            return "a socket, which means nothing without its program"
        if self._layer and b"/" + _WHITEOUT in b"/" + change.path:
            return "in a layer its name would say that a file was deleted"
        return ""

    def _regular(self, change: Change) -> Iterable[bytes]:
        """A file, or a hard link to one that came before."""
        try:
            file = os.open(change.name, _FILE, dir_fd=change.folder)
        except PermissionError:
            self.leave_out(change.path, "it may not be read")
            return ()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                raise
            return ()  # a running program was quicker: gone, or a link or a socket now
        status = os.fstat(file)
        if status.st_size > _SMALL:
            return self._closing(change.path, file, status)
        try:
            return (b"".join(self._file(change.path, file, status)),)
        finally:
            os.close(file)

    def _closing(self, path: bytes, file: int, status: os.stat_result) -> Iterator[bytes]:
        try:
            yield from self._file(path, file, status)
        finally:
            os.close(file)

    def _file(self, path: bytes, file: int, status: os.stat_result) -> Iterator[bytes]:
        if not stat.S_ISREG(status.st_mode):
            return
        self._count()
        if first := self._seen(status, path):
            yield self._describe(path, tar.LINK, status, xattrs.packed(file), link=first)
            return
        self.facts["size"] += status.st_size
        parts = _parts(file, status)
        if parts is None:
            yield self._describe(path, tar.REGULAR, status, xattrs.packed(file), size=status.st_size)
            yield from _data(file, [(0, status.st_size)])
        else:
            yield from self._sparse(path, file, status, parts)

    def _sparse(self, path: bytes, file: int, status: os.stat_result, parts: list[tuple[int, int]]) -> Iterator[bytes]:
        table = _table(parts)
        length = len(table) + sum(size for _, size in parts)
        above, _, name = path.rpartition(b"/")
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": path,
                   b"GNU.sparse.realsize": b"%d" % status.st_size}  # fmt: skip
        placeholder = (above + b"/" if above else b"") + b"GNUSparseFile.0/" + name
        yield self._describe(placeholder, tar.REGULAR, status, xattrs.packed(file), size=length, records=records)
        yield table
        yield from _data(file, parts)

    def _other(self, change: Change) -> Iterable[bytes]:
        """Folders, symbolic links, devices and FIFOs."""
        status, kind = change.status, _KINDS[stat.S_IFMT(change.status.st_mode)]
        path = change.path
        try:
            attributes = xattrs.packed(change.place)
            link = os.readlink(change.name, dir_fd=change.folder) if kind == tar.SYMLINK else b""
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # it is none any more
                raise
            return ()
        if kind == tar.DIRECTORY:
            path = path + b"/" if path else b"./"
        elif kind != tar.SYMLINK and (first := self._seen(status, path)):
            kind, link = tar.LINK, first
        self._count(is_file=kind != tar.DIRECTORY)
        return (self._describe(path, kind, status, attributes, link=link),)

    def _count(self, *, is_file: bool = True) -> None:
        self.facts["entries"] += 1
        self.facts["files"] += is_file

    def _seen(self, status: os.stat_result, path: bytes) -> bytes | None:
        """The path that a file of several names was written under; None if this is the first."""
        if status.st_nlink < 2:
            return None
        first = self._links.setdefault((status.st_dev, status.st_ino), path)
        return None if first == path else first

    def _describe(
        self,
        path: bytes,
        kind: bytes,
        status: os.stat_result,
        attributes: Records | None = None,
        *,
        link: bytes = b"",
        size: int = 0,
        records: Records | None = None,
    ) -> bytes:
        records = dict(records or {})
        records |= {b"SCHILY.xattr." + name: value for name, value in (attributes or {}).items()}
        time = status.st_mtime_ns if self._latest is None else min(status.st_mtime_ns, self._latest)
        device = status.st_rdev if kind in (tar.CHARACTER, tar.DEVICE) else 0
        return _header(
            path, kind, records, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid, size=size,
            time_ns=time, link=link, device=device,
        )  # fmt: skip


def _header(
    path: bytes,
    kind: bytes,
    records: Records,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    time_ns: int = 0,
    link: bytes = b"",
    device: int = 0,
) -> bytes:
    """A member's header block, after a PAX header with what does not fit."""
    prefix, name = _split(path)
    if not name:
        records.setdefault(b"path", path)
        name = path[:100]
    if len(link) > 100:
        records[b"linkpath"] = link
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    if nanoseconds or not 0 <= seconds <= _LARGEST_SIZE:
        records[b"mtime"] = _decimal(time_ns)
    for key, number, largest in (
        (b"uid", uid, _LARGEST_ID),
        (b"gid", gid, _LARGEST_ID),
        (b"size", size, _LARGEST_SIZE),
    ):
        if number > largest:
            records[key] = b"%d" % number
    block = _block(
        name, kind, mode, _fit(uid, _LARGEST_ID), _fit(gid, _LARGEST_ID), _fit(size, _LARGEST_SIZE),
        _fit(seconds, _LARGEST_SIZE), link[:100], device, prefix,
    )  # fmt: skip
    return _extended(records, path) + block if records else block


def _fit(number: int, largest: int) -> int:
    """What an old reader, which does not know PAX, may see."""
    return number if 0 <= number <= largest else 0


def _split(path: bytes) -> tuple[bytes, bytes]:
    """ustar's prefix and name; both empty if the path has to go into a PAX record."""
    if len(path) <= 100:
        return b"", path
    cut = path.find(b"/", len(path) - 101, -1)
    return (path[:cut], path[cut + 1 :]) if 0 < cut <= 155 else (b"", b"")


def _block(
    name: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, time: int, link: bytes, device: int,
    prefix: bytes,
) -> bytes:  # fmt: skip
    """A header. Its checksum is the sum of its bytes, which Adler-32 finds quickest (modulo 65521, which short names
    do not reach)."""
    block = _HEADER.pack(
        name, b"%07o" % mode, b"%07o" % uid, b"%07o" % gid, b"%011o" % size, b"%011o" % time, b" " * 8, kind, link,
        b"ustar\x0000", b"", b"", b"%07o" % os.major(device), b"%07o" % os.minor(device), prefix,
    )  # fmt: skip
    total = (adler32(block) & 0xFFFF) - 1 if len(name) + len(link) + len(prefix) < 200 else sum(block)
    return block[:148] + b"%06o\0 " % total + block[156:]


def _extended(records: Records, path: bytes) -> bytes:
    """A PAX header, its records sorted."""
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    name = b"PaxHeaders/" + path.rstrip(b"/").rpartition(b"/")[2][:80]
    return _block(name, b"x", 0o644, 0, 0, len(content), 0, b"", 0, b"") + content + bytes(-len(content) % tar.BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`; the length counts itself."""
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    length = body + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _decimal(time_ns: int) -> bytes:
    """Seconds with as many digits as needed, perhaps negative."""
    seconds, nanoseconds = divmod(abs(time_ns), 1_000_000_000)
    text = b"%d.%09d" % (seconds, nanoseconds) if nanoseconds else b"%d" % seconds
    return (b"-" if time_ns < 0 else b"") + (text.rstrip(b"0") if nanoseconds else text)


# Content.


def _data(file: int, parts: list[tuple[int, int]]) -> Iterator[bytes]:
    """The parts, zeros where the file has become shorter, and the padding of their sum."""
    total = 0
    for offset, length in parts:
        total += length
        while length:
            piece = os.pread(file, min(length, PIECE), offset) or bytes(min(length, PIECE))
            yield piece
            offset, length = offset + len(piece), length - len(piece)
    if padding := -total % tar.BLOCK:
        yield bytes(padding)


def _parts(file: int, status: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file has data, if leaving out its holes is worth while: lseek(2), SEEK_DATA."""
    if status.st_size - status.st_blocks * 512 < _HOLE:
        return None
    found: list[tuple[int, int]] = []
    least = _HOLE
    for start, end in extents(file, status.st_size):
        if found and start - found[-1][1] < least:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
        if len(found) > _PARTS:  # a map has its limits: small holes are filled
            least *= 4
            found = _joined(found, least)
    if status.st_size - sum(end - start for start, end in found) < _HOLE:
        return None
    if not found or found[-1][1] < status.st_size:
        found.append((status.st_size, status.st_size))  # GNU tar takes the size from it
    return [(start, end - start) for start, end in found]


def _joined(parts: list[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    found = parts[:1]
    for start, end in parts[1:]:
        if start - found[-1][1] < least:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _table(parts: list[tuple[int, int]]) -> bytes:
    """GNU's sparse format 1.0: decimal lines in whole blocks (GNU tar's manual, Sparse Formats)."""
    text = b"%d\n" % len(parts) + b"".join(b"%d\n%d\n" % part for part in parts)
    return text + bytes(-len(text) % tar.BLOCK)
