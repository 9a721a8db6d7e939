"""A kernel without its wrapping, for QEMU's emulation: what unpacks a bzImage is a program in it, and slow there.

QEMU starts the ELF file that is left by its PVH entry (Documentation/arch/x86/boot.rst and QEMU's docs/pvh): half a
second sooner. Such a kernel stays at the addresses for which it was linked (no KASLR).
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.image import layout

_SECTORS, _PAYLOAD = 0x1F1, 0x248
"""Of the header: sectors of the real-mode part but one; where the wrapped kernel is behind it, and how long."""
_SIZE = 4
"""What the build adds to the packed kernel: how large it is unpacked. Part of gzip's own format."""
_GZIP, _XZ, _LZMA = b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x5d\0\0"
_PROGRAMS = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}
_HEADER, _SEGMENT, _NOTE = struct.Struct("<16xHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ"), struct.Struct("<III")
_PT_NOTE, _PHYS32_ENTRY = 4, 18
_KEPT = 4


def unpacked(engine: Engine, path: Path) -> Path:
    """The file to boot: the kernel without its wrapping, made once; the one given where nothing here unpacks it, or it
    has no PVH entry."""
    stat = os.stat(path)
    stamp = repr((str(path), stat.st_mtime_ns, stat.st_size))
    made = engine.cache / "vm" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.vmlinux"
    if not made.exists():
        try:
            found = content(path.read_bytes())
        except ValueError as error:
            hint = "copy it again, or type vm fetch-kernel"
            raise InvalidArgument(f"the kernel {path} is damaged: {error}", hint=hint) from None
        if not has_pvh(found):
            return path
        keep(engine, made, found)
        sweep(made.parent)
    return made


def keep(engine: Engine, path: Path, data: bytes) -> None:
    """Write a whole file, or none: HostNotCapable says why."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        with layout.partial(engine) as file:
            file.write(data)
            file.flush()
            os.rename(file.name, path)
    except OSError as error:
        raise HostNotCapable(
            f"{path} could not be written: {error.strerror}",
            hint="system df shows what takes the room",
            errno=error.errno,
        ) from None


def sweep(folder: Path, pattern: str = "*.vmlinux", kept: int = _KEPT) -> None:
    """Remove all but the youngest: kernels are given new versions."""
    for path in sorted(folder.glob(pattern), key=_written)[:-kept]:
        path.unlink(missing_ok=True)


def _written(path: Path) -> float:
    """When it was written; of one that another sweep has just removed, long ago."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def content(image: bytes) -> bytes:
    """The kernel in a bzImage; b"" where it is packed in a way that nothing here unpacks. Raises ValueError for a damaged one."""
    if len(image) < _PAYLOAD + 8:
        return b""
    start, size = struct.unpack_from("<II", image, _PAYLOAD)
    start += ((image[_SECTORS] or 4) + 1) * 512
    packed = image[start : start + size]
    try:
        if packed.startswith(_GZIP):
            return gzip.decompress(packed)
        if packed.startswith((_XZ, _LZMA)):
            return lzma.decompress(packed[:-_SIZE])
        if program := shutil.which(_PROGRAMS.get(packed[:4], "")):
            return subprocess.run([program, "-dc"], input=packed[:-_SIZE], capture_output=True, check=True).stdout
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr.decode(errors="replace").strip()[-200:]) from None
    return b""


def has_pvh(kernel: bytes) -> bool:
    """Whether it is an ELF file with an entry for PVH: a note of Xen's."""
    return any(note == (b"Xen\0", _PHYS32_ENTRY) for note in _notes(kernel))


def _notes(kernel: bytes) -> Iterator[tuple[bytes, int]]:
    """(owner, kind) of each: elf(5)."""
    if not kernel.startswith(b"\x7fELF\x02\x01") or len(kernel) < 64:
        return
    _, _, _, _, table, _, _, _, size, count, *_ = _HEADER.unpack_from(kernel)
    for number in range(count):
        at = table + number * size
        if at + _SEGMENT.size > len(kernel):
            return
        kind, _, start, _, _, length, _, _ = _SEGMENT.unpack_from(kernel, at)
        if kind == _PT_NOTE:
            yield from _notes_of(kernel[start : start + length])


def _notes_of(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + _NOTE.size <= len(data):
        name, description, kind = _NOTE.unpack_from(data, at)
        at += _NOTE.size
        yield data[at : at + name], kind
        at += name + (-name % 4) + description + (-description % 4)
