"""A reader of tar streams written for layers: ustar, old GNU and PAX (POSIX.1-2001), and nothing is trusted.

It yields entries and hands out their data without copying it; it opens no file. Names stay bytes. Numbers may be
octal or base-256, long names GNU's or PAX's (both at once, in disagreement, is refused), sparse files in GNU's old
form or PAX 0.0, 0.1 and 1.0. Every defect is an ImageError that says where.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import adler32

from nbcontainers.errors import ImageError

BLOCK = 512
REGULAR, LINK, SYMLINK, CHARACTER, DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_KNOWN = {b"0": REGULAR, b"\0": REGULAR, b"7": REGULAR, b"S": REGULAR, b"1": LINK, b"2": SYMLINK, b"3": CHARACTER,
          b"4": DEVICE, b"5": DIRECTORY, b"D": DIRECTORY, b"6": FIFO}  # fmt: skip
_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x")
_ZERO = bytes(BLOCK)
_NO_XATTRS: dict[bytes, bytes] = {}
_MAX_ID = 2**32 - 2  # 2^32 - 1 means "leave as it is" to chown(2)
_MAX_TIME = 2**40 * 1_000_000_000  # nanoseconds; each file system cuts it to its own

Map = list[tuple[int, int]]


@dataclass(frozen=True)
class Budget:
    """What one layer may cost: bytes unpacked, entries, and how much more it may be than its compressed form
    (which only counts beyond `free` bytes)."""

    bytes: int = 1 << 40
    entries: int = 8_000_000
    directories: int = 500_000
    names: int = 128 << 20
    """Bytes of the paths of folders, whiteouts and links to lower files, which are remembered to the end."""
    ratio: int = 400
    free: int = 2 << 30
    extended: int = 1 << 20
    """Bytes of one PAX header or GNU long name."""

    def check_bytes(self, count: int, compressed: int) -> None:
        if count > self.bytes:
            raise ImageError(f"the layer unpacks to more than {self.bytes} bytes", hint="nothing of it was kept")
        if compressed and count > self.free and count > compressed * self.ratio:
            raise ImageError(
                f"the layer looks like a decompression bomb: {count} bytes out of {compressed} so far",
                hint="nothing of it was kept; pack the tar without compression if it is meant so",
            )


class Entry:
    """One member. `size` is that of the file; `map`, for a sparse one, its parts with data."""

    __slots__ = ("gid", "link", "major", "map", "minor", "mode", "mtime_ns", "name", "size", "type", "uid", "xattrs")

    def __init__(self) -> None:
        self.name = self.link = b""
        self.type = REGULAR
        self.mode = self.uid = self.gid = self.size = self.mtime_ns = self.major = self.minor = 0
        self.xattrs = _NO_XATTRS
        self.map: Map | None = None


class Reader:
    """Entries of a stream given in pieces of any length. The data of an entry is in `data` until the next."""

    def __init__(self, pieces: Iterator[bytes], budget: Budget | None = None) -> None:
        self._pieces = pieces
        self._budget = budget or Budget()
        self._piece = b""
        self._at = 0  # in _piece
        self._before = 0  # bytes of the pieces before this one
        self._left = 0  # data of this entry that was not taken
        self._padding = 0
        self._pax: dict[bytes, bytes] = {}
        self._sparse: Map = []  # of PAX 0.0, whose keys come many times

    @property
    def position(self) -> int:
        return self._before + self._at

    def _fail(self, what: str) -> ImageError:
        return ImageError(f"damaged tar at byte {self.position}: {what}")

    def _next_piece(self) -> bool:
        self._before += len(self._piece)
        self._at = 0
        self._piece = next(self._pieces, b"")
        return bool(self._piece)

    def _take(self, count: int) -> bytes:
        """`count` bytes, or fewer at the end of the stream."""
        start, end = self._at, self._at + count
        if end <= len(self._piece):
            self._at = end
            return self._piece[start:end]
        found = self._piece[start:]
        self._at = len(self._piece)
        while len(found) < count and self._next_piece():
            self._at = min(count - len(found), len(self._piece))
            found += self._piece[: self._at]
        return found

    def data(self) -> Iterator[memoryview]:
        """What is left of the entry's data, without copies."""
        while self._left:
            if self._at >= len(self._piece) and not self._next_piece():
                raise self._fail("it ends within a file")
            end = min(len(self._piece), self._at + self._left)
            view = memoryview(self._piece)[self._at : end]
            self._left -= end - self._at
            self._at = end
            yield view

    def whole(self) -> memoryview | None:
        """All of the entry's data, if it has come already: most files are small."""
        end = self._at + self._left
        if end + self._padding > len(self._piece):
            return None
        view = memoryview(self._piece)[self._at : end]
        self._at = end + self._padding
        self._left = self._padding = 0
        return view

    def read(self, limit: int) -> bytes:
        """The entry's data at once; ImageError if it is longer than `limit`."""
        if self._left > limit:
            raise self._fail(f"a record of {self._left} bytes, {limit} are allowed")
        return b"".join(self.data())

    def _skip(self) -> None:
        for _ in self.data():
            pass
        if self._padding:
            self._take(self._padding)
            self._padding = 0

    def jump(self) -> int:
        """Leave out the rest of the entry's data; the byte from which on the pieces that follow must be."""
        self._before = self.position + self._left + self._padding
        self._left = self._padding = self._at = 0
        self._piece = b""
        return self._before

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        while True:
            entry = self._entry()
            if entry is None:
                return
            count += 1
            if count > self._budget.entries:
                raise ImageError(f"more than {self._budget.entries} entries in one layer")
            yield entry

    def drain(self) -> None:
        """Read what follows the end mark, so that a hash over the pieces is of all."""
        while self._next_piece():
            pass

    def _entry(self) -> Entry | None:
        """The next entry with what extended headers say of it; None at the end of the archive."""
        long_name = long_link = None
        while True:
            if self._left or self._padding:
                self._skip()
            header = self._take(BLOCK)
            if header == _ZERO or not header:
                self._end(header, bool(self._pax) or long_name is not None)
                return None
            fields = self._fields(header)
            kind = fields[7]
            if kind in _KNOWN:
                break
            self._open(number(fields[4]))
            if kind == b"x":
                self._read_pax()
            elif kind == b"L":
                long_name = self.read(self._budget.extended).partition(b"\0")[0]
            elif kind == b"K":
                long_link = self.read(self._budget.extended).partition(b"\0")[0]
            elif kind not in (b"g", b"V"):  # global headers and volume labels concern no file
                raise self._fail(f"an entry of the unknown type {kind.decode('latin-1')!r}")
        try:
            return self._build(header, fields, long_name, long_link)
        except (ValueError, struct.error) as error:
            raise self._fail(str(error)) from None

    def _end(self, header: bytes, dangling: bool) -> None:
        """Two zero blocks, or the end of the stream."""
        if dangling:
            raise self._fail("it ends after an extended header")
        if header and self._take(BLOCK) not in (_ZERO, b""):
            raise self._fail("data after a lone zero block")

    def _fields(self, header: bytes) -> tuple[bytes, ...]:
        if len(header) < BLOCK:
            raise self._fail("it ends within a header")
        fields = _HEADER.unpack(header)
        if not _checks(header, fields[6]):
            raise self._fail("wrong header checksum" if self.position > BLOCK else "this is no tar archive")
        return fields

    def _open(self, size: int) -> None:
        if size < 0:
            raise self._fail(f"the impossible size {size}")
        self._left = size
        self._padding = -size % BLOCK

    def _build(
        self, header: bytes, fields: tuple[bytes, ...], long_name: bytes | None, long_link: bytes | None
    ) -> Entry:
        name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, _, major, minor, prefix = fields
        entry = Entry()
        entry.type = _KNOWN[kind]
        entry.name = name.partition(b"\0")[0]
        if magic == b"ustar\0" and prefix[0]:
            if header[508:512] == b"tar\0":
                prefix = prefix[:131]  # star keeps times behind it
            entry.name = prefix.partition(b"\0")[0] + b"/" + entry.name
        entry.link = link.partition(b"\0")[0]
        entry.mode = _frequent(mode) & 0o7777
        entry.uid, entry.gid = _frequent(uid), _frequent(gid)
        entry.mtime_ns = _frequent(mtime) * 1_000_000_000
        stored = number(size)
        if long_name is not None:
            entry.name = self._agree(b"path", long_name)
        if long_link is not None:
            entry.link = self._agree(b"linkpath", long_link)
        if self._pax:
            stored = self._apply_pax(entry, stored)
        if entry.type in (CHARACTER, DEVICE):
            entry.major, entry.minor = number(major), number(minor)
        self._finish(entry, kind, stored, header)
        return entry

    def _agree(self, key: bytes, value: bytes) -> bytes:
        if self._pax.get(key, value) != value:
            raise ValueError("GNU and PAX give one entry two names")
        return value

    def _finish(self, entry: Entry, kind: bytes, stored: int, header: bytes) -> None:
        """Settle sizes and what may be believed."""
        if kind == b"\0" and entry.name.endswith(b"/"):
            entry.type = DIRECTORY
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise ValueError(f"the impossible owner {entry.uid}:{entry.gid}")
        if b"\0" in entry.name or b"\0" in entry.link:
            raise ValueError("a NUL in a name")
        entry.mtime_ns = max(-_MAX_TIME, min(entry.mtime_ns, _MAX_TIME))
        self._open(stored if entry.type == REGULAR or kind == b"D" else 0)  # a GNU dump lists a directory
        entry.size = stored
        if entry.type == REGULAR and (kind == b"S" or self._sparse or self._pax):
            self._open_sparse(entry, kind, header)
        self._pax = {}
        self._sparse = []

    # PAX extended headers: pax(1), "pax Extended Header"; SCHILY.xattr is star's, GNU.sparse is GNU tar's.

    def _read_pax(self) -> None:
        """Records `LENGTH KEY=VALUE\\n`."""
        content = self.read(self._budget.extended)
        self._pax, self._sparse, offset, at = {}, [], None, 0
        while at < len(content):
            space = content.find(b" ", at, at + 20)
            length = content[at:space]
            end = at + int(length) if length.isdigit() else 0
            record = content[space + 1 : end - 1]
            key, equals, value = record.partition(b"=")
            if end <= space + 1 or end > len(content) or content[end - 1] != 10 or not equals:
                raise self._fail("a bad PAX record")
            if key == b"GNU.sparse.offset":
                offset = self._decimal(value)
            elif key == b"GNU.sparse.numbytes" and offset is not None:
                self._sparse.append((offset, self._decimal(value)))
            else:
                self._pax[key] = value
            at = end

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 19:
            raise self._fail(f"{text[:40]!r} is no number")
        return int(text)

    def _apply_pax(self, entry: Entry, stored: int) -> int:
        xattrs: dict[bytes, bytes] = {}
        for key, value in self._pax.items():
            if key.startswith(b"SCHILY.xattr."):
                xattrs[key[13:]] = value
            elif not value:  # the standard: as if the record were not there
                continue
            elif key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.link = value
            elif key == b"mtime":
                entry.mtime_ns = _nanoseconds(value)
            elif key == b"size":
                stored = self._decimal(value)
            elif key == b"uid":
                entry.uid = self._decimal(value)
            elif key == b"gid":
                entry.gid = self._decimal(value)
        if xattrs:
            entry.xattrs = xattrs
        return stored

    # Sparse files: GNU tar's manual, "Storing Sparse Files".

    def _open_sparse(self, entry: Entry, kind: bytes, header: bytes) -> None:
        pax = self._pax
        if name := pax.get(b"GNU.sparse.name"):
            entry.name = name
        if kind == b"S":
            size, parts = number(header[483:495]), self._old_map(header)
        elif pax.get(b"GNU.sparse.major") == b"1":
            size, parts = self._decimal(pax.get(b"GNU.sparse.realsize", b"")), self._map_in_data()
        elif text := pax.get(b"GNU.sparse.map"):
            numbers = [self._decimal(part) for part in text.split(b",")]
            size, parts = self._decimal(pax.get(b"GNU.sparse.size", b"")), _pairs(numbers)
        elif self._sparse:
            size, parts = self._decimal(pax.get(b"GNU.sparse.size", b"")), self._sparse
        else:
            return
        end = 0
        for offset, length in parts:
            if offset < end or length < 0 or offset + length > size:
                raise ValueError("a sparse file whose parts do not fit")
            end = offset + length
        if sum(length for _, length in parts) != self._left:
            raise ValueError("a sparse file whose parts are not its data")
        entry.size, entry.map = size, parts

    def _old_map(self, header: bytes) -> Map:
        """Four parts in the header, 21 in each block that follows while the flag says so."""
        left, padding, self._left, self._padding = self._left, self._padding, 0, 0
        parts, more = _old_parts(header[386:482]), header[482]
        while more:
            block = self._take(BLOCK)
            if len(block) < BLOCK or len(parts) > self._budget.extended // 24:
                raise ValueError("a sparse map without end")
            parts += _old_parts(block[:504])
            more = block[504]
        self._left, self._padding = left, padding
        return parts

    def _map_in_data(self) -> Map:
        """PAX 1.0: decimal lines at the head of the data, filled up to whole blocks."""
        text, lines = b"", 1
        while text.count(b"\n") < lines:
            if self._left < BLOCK or len(text) > self._budget.extended:
                raise ValueError("a sparse map without end")
            text += self._take(BLOCK)
            self._left -= BLOCK
            head = text.partition(b"\n")
            if head[1]:
                lines = 1 + 2 * self._decimal(head[0])
        return _pairs([self._decimal(line) for line in text.split(b"\n", lines)[1:lines]])


def number(field: bytes) -> int:
    """A number as tar writes it: octal text, or base-256 (two's complement) when the first bit is set."""
    if field[0] & 0x80:
        bits = len(field) * 8 - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if field[0] & 0x40 else value
    text = field.strip(b" \0")
    if not text.isdigit():
        text = text.partition(b"\0")[0].rstrip(b" ")
        if not text:
            return 0
        if not text.isdigit():
            raise ImageError(f"damaged tar: {field!r} is no number")
    try:
        return int(text, 8)
    except ValueError:
        raise ImageError(f"damaged tar: {field!r} is no octal number") from None


_frequent = lru_cache(4096)(number)
"""The same modes, owners and times come again and again."""


def _checks(header: bytes, field: bytes) -> bool:
    """Whether the sum of the header's bytes, its own field taken as spaces, is what the field says.

    The low half of Adler-32 is one more than the sum modulo 65521: the quickest sum Python has. Old programs
    summed signed bytes.
    """
    try:
        wanted = number(field)
    except ImageError:
        return False
    spaces = 256 - sum(field)
    if ((adler32(header) & 0xFFFF) - 1 + spaces - wanted) % 65521 == 0:
        return True
    signed = sum(struct.unpack("512b", header)) - sum(struct.unpack("8b", field)) + 256
    return bool(signed == wanted)


def _nanoseconds(text: bytes) -> int:
    """PAX decimal seconds, possibly negative, kept to the nanosecond (finer digits are cut)."""
    sign = -1 if text.startswith(b"-") else 1
    seconds, _, fraction = text.removeprefix(b"-").partition(b".")
    digits = (fraction + b"000000000")[:9]
    if not seconds.isdigit() or not digits.isdigit():
        raise ValueError(f"{text[:40]!r} is no time")
    return sign * (int(seconds[:19]) * 1_000_000_000 + int(digits))


def _pairs(numbers: list[int]) -> Map:
    if len(numbers) % 2:
        raise ValueError("a sparse map with half a part")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _old_parts(table: bytes) -> Map:
    found = []
    for at in range(0, len(table), 24):
        part = table[at : at + 24]
        if not part.strip(b"\0 "):
            break
        found.append((number(part[:12]), number(part[12:24])))
    return found


def members(descriptor: int) -> Iterator[tuple[Entry, int]]:
    """Entries of an uncompressed tar file and where their data begins; the data is not read but jumped over."""
    position = 0

    def pieces() -> Iterator[bytes]:
        nonlocal position
        while piece := os.pread(descriptor, 16 * BLOCK, position):
            position += len(piece)
            yield piece

    reader = Reader(pieces())
    for entry in reader:
        yield entry, reader.position
        position = reader.jump()
