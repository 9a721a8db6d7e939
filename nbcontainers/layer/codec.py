"""Decompression of streams: gzip, zstd, xz, bzip2, by the fastest library that is installed; the one place to choose.
And compression, gzip and zstd: the same bytes in give the same bytes out, as long as the library is the same.

gzip: isal (480 MB/s) or zlib (200 MB/s). zstd: zstandard, Python 3.14's compression.zstd. Every decoder gives
bounded pieces, so that a bomb costs time until its budget is spent, never memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from typing import Any, Protocol

from nbcontainers.errors import HostNotCapable, ImageError

READ = 256 << 10
PIECE = 512 << 10

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Decoder(Protocol):
    """The form of bz2.BZ2Decompressor, which lzma and isal share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def detect(head: bytes) -> str:
    """The compression of a stream that begins with `head`; "" if it is none we know."""
    if head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"  # it begins with a skippable frame (RFC 8878, 3.1.2)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def chunks(file: _Readable, *, codec: str | None = None) -> Iterator[bytes]:
    """The decompressed content of `file` in pieces; `codec` "" means as it is, None means look at the first bytes.

    Raises ImageError for damaged data, and HostNotCapable where no library can read the form.
    """
    head = file.read(READ)
    codec = detect(head) if codec is None else codec
    if codec == "":
        return itertools.chain([head] if head else [], pieces(file))
    if codec == "zstd":
        return _zstd(file, head)
    return _decode(file, head, codec)


def pieces(file: _Readable) -> Iterator[bytes]:
    """The content of `file` as it is."""
    while piece := file.read(PIECE):
        yield piece


def _decode(file: _Readable, data: bytes, codec: str) -> Iterator[bytes]:
    """Members one after another; zeros after the last one are padding, anything else is damage."""
    new = _decoder(codec)
    decoder = new()
    try:
        while True:
            if piece := decoder.decompress(data, PIECE):
                yield piece
            data = b""
            if decoder.eof:
                data = _next_member(file, decoder.unused_data, codec)
                if not data:
                    return
                decoder = new()
            elif decoder.needs_input and not (data := file.read(READ)):
                raise ImageError(f"the {codec} data ends too early")
    except (OSError, EOFError, ValueError, MemoryError) as error:
        raise ImageError(f"damaged {codec} data: {error}") from None
    except Exception as error:  # zlib.error, lzma.LZMAError, isal.IsalError have no base but Exception
        if type(error).__module__.partition(".")[0] not in _FOREIGN:
            raise
        raise ImageError(f"damaged {codec} data: {error}") from None


_FOREIGN = ("zlib", "_lzma", "lzma", "isal", "igzip_lib", "zstd", "zstandard", "compression", "_zstd")


def _next_member(file: _Readable, data: bytes, codec: str) -> bytes:
    while not data.strip(b"\0"):
        data = file.read(READ)
        if not data:
            return b""
    magic = next(magic for magic, name in _MAGIC if name == codec)
    while len(data) < len(magic) and (more := file.read(READ)):
        data += more
    if not data.startswith(magic):
        raise ImageError(f"garbage after the {codec} data")
    return data


@cache
def _decoder(codec: str) -> Callable[[], _Decoder]:
    if codec == "gzip":
        return _gzip()
    if codec == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(memlimit=256 << 20)
    import bz2

    return bz2.BZ2Decompressor


def _gzip() -> Callable[[], Any]:
    try:
        from isal import igzip_lib

        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    except ImportError:
        pass
    import zlib

    return lambda: _Zlib(zlib.decompressobj(31))


class _Zlib:
    """zlib's decompressobj in the form of the others."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._full = False

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        """A full piece may leave output behind although all input is consumed."""
        return not self._full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        piece = bytes(self._inner.decompress(self._inner.unconsumed_tail + data, max_length))
        self._full = len(piece) == max_length
        return piece


class Headed:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file: _Readable) -> None:
        self._head = head
        self._file = file

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head or self._file.read(size)


class _Frames:
    """A file of zstd frames that knows whether it ended between two of them: the libraries do not tell.

    RFC 8878, 3.1: a frame is a header, blocks of a given length, and perhaps a checksum.
    """

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._walk = self._frames()
        self._wanted = next(self._walk)  # bytes of the next header, or below 0 what is to be jumped over
        self._head = b""
        self.between = True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        at = 0
        while at < len(data):
            at = self._step(data, at)
        return data

    def _step(self, data: bytes, at: int) -> int:
        if self._wanted < 0:
            taken = min(-self._wanted, len(data) - at)
            self._wanted += taken
        else:
            taken = min(self._wanted - len(self._head), len(data) - at)
            self._head += data[at : at + taken]
            self.between = False
        if self._wanted == 0 or len(self._head) == self._wanted:
            head, self._head = self._head, b""
            self._wanted = self._walk.send(head)
        return at + taken

    def _frames(self) -> Generator[int, bytes]:
        while True:
            self.between = True
            magic = yield 4
            if magic[1:] == b"\x2a\x4d\x18":
                size = int.from_bytes((yield 4), "little")
                if size:
                    yield -size
                continue
            flags = (yield 1)[0]
            single = flags >> 5 & 1
            rest = (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
            if rest:
                yield -rest
            last = 0
            while not last:
                block = int.from_bytes((yield 3), "little")
                last, kind, size = block & 1, block >> 1 & 3, block >> 3
                if size:
                    yield -(1 if kind == 1 else size)
            if flags & 4:
                yield -4


def _zstd(file: _Readable, head: bytes) -> Iterator[bytes]:
    frames = _Frames(Headed(head, file))
    reader, failure = _zstd_reader(frames)
    try:
        while piece := reader.read(PIECE):
            yield piece
    except (failure, EOFError) as error:
        raise ImageError(f"damaged zstd data: {error}") from None
    if not frames.between:
        raise ImageError("the zstd data ends too early")


def _zstd_reader(file: _Frames) -> tuple[Any, type[Exception]]:
    """A reader that gives pieces; windows above 128 MB, which cost that much memory, are refused."""
    try:
        import zstandard

        decoder: Any = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return decoder.stream_reader(file, read_size=READ, read_across_frames=True), zstandard.ZstdError
    except ImportError:
        pass
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]

        options = {zstd.DecompressionParameter.window_log_max: 27}
        return zstd.ZstdFile(file, "rb", options=options), zstd.ZstdError
    except ImportError:
        raise HostNotCapable("no library here reads zstd", hint="pip install zstandard") from None


# Compression.

STEP = 1 << 20
"""Bytes a compressor gets at once, however the source is cut: where it ends a block may depend on that."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def compress(source: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """The pieces of `source` compressed by "gzip" or "zstd"; "" leaves them as they are."""
    if codec == "":
        yield from source
        return
    compressor = _gzip_compressor() if codec == "gzip" else _zstd_compressor()
    for step in _steps(source):
        if piece := compressor.compress(step):
            yield piece
    yield compressor.flush()


def _steps(source: Iterable[bytes]) -> Iterator[bytes]:
    kept: list[bytes] = []
    size = 0
    for piece in source:
        kept.append(piece)
        size += len(piece)
        if size >= STEP:
            whole = b"".join(kept)
            for at in range(0, size - STEP + 1, STEP):
                yield whole[at : at + STEP]
            kept = [whole[size - size % STEP :]]
            size %= STEP
    if size:
        yield b"".join(kept)


def _gzip_compressor() -> _Compressor:
    """Level 1 of isal: 300 MB/s for what zlib's level 2 gives. The header has no time and no name."""
    try:
        from isal import isal_zlib

        return isal_zlib.compressobj(level=1, wbits=31)
    except ImportError:
        import zlib

        return zlib.compressobj(level=1, wbits=31)


def _zstd_compressor() -> _Compressor:
    try:
        import zstandard

        return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    except ImportError:
        pass
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]

        return zstd.ZstdCompressor(level=3)  # type: ignore[no-any-return, unused-ignore]
    except ImportError:
        raise HostNotCapable("no library here writes zstd", hint="pip install zstandard") from None
