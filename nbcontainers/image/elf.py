"""Which shared libraries a program needs, read from its ELF headers: elf(5), ld.so(8). Nothing is executed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29
_DEFAULTS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_MULTIARCH = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu", 3: "i386-linux-gnu", 40: "arm-linux-gnueabihf"}
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"


class Object(NamedTuple):
    """What the dynamic linker reads of one file. `search` is its RUNPATH or RPATH, $ORIGIN replaced."""

    machine: tuple[int, int]
    interpreter: str
    needed: tuple[str, ...]
    search: tuple[str, ...]


class _Form(NamedTuple):
    """How numbers lie in a file: ELF class and byte order."""

    header: struct.Struct
    segment: struct.Struct
    dynamic: struct.Struct
    wide: bool


def _form(ident: bytes) -> _Form:
    order = "<" if ident[5] == 1 else ">"
    wide = ident[4] == 2
    formats = ("16xHHIQQQIHHHHHH", "IIQQQQQQ", "qQ") if wide else ("16xHHIIIIIHHHHHH", "IIIIIIII", "iI")
    header, segment, dynamic = (struct.Struct(order + text) for text in formats)
    return _Form(header, segment, dynamic, wide)


@cache
def read(path: str) -> Object | None:
    """The file's dynamic section; None for what is no ELF file (a script). ValueError for a damaged one."""
    with open(path, "rb") as file:
        content = file.read(64)
        if content[:4] != b"\x7fELF":
            return None
        content += file.read()
    try:
        return _parse(content, os.path.dirname(os.path.realpath(path)))
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} is a damaged ELF file: {error}") from None


def _parse(content: bytes, origin: str) -> Object:
    form = _form(content)
    fields = form.header.unpack_from(content)
    machine, table, size, count = fields[1], fields[4], fields[8], fields[9]
    loads: list[tuple[int, int, int]] = []
    interpreter, dynamic = "", b""
    for number in range(count):
        segment = form.segment.unpack_from(content, table + number * size)
        if form.wide:
            kind, _, offset, address, _, length, _, _ = segment
        else:
            kind, offset, address, _, length, _, _, _ = segment
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_INTERP:
            interpreter = os.fsdecode(content[offset : offset + length].rstrip(b"\0"))
        elif kind == _PT_DYNAMIC:
            dynamic = content[offset : offset + length]
    needed, search = _dynamic(content, form, dynamic, loads)
    folders = [part for text in search for part in text.split(":") if part]
    found = tuple(part.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for part in folders)
    return Object((content[4], machine), interpreter, tuple(needed), found)


def _dynamic(
    content: bytes, form: _Form, section: bytes, loads: list[tuple[int, int, int]]
) -> tuple[list[str], list[str]]:
    """DT_NEEDED, and DT_RUNPATH or else DT_RPATH."""
    entries = [form.dynamic.unpack_from(section, at) for at in range(0, len(section), form.dynamic.size)]
    values = dict(entries)
    if _DT_STRTAB not in values:
        return [], []
    start = _offset(values[_DT_STRTAB], loads)
    strings = content[start : start + values.get(_DT_STRSZ, 0)]

    def text(at: int) -> str:
        return os.fsdecode(strings[at : strings.index(b"\0", at)])

    needed = [text(value) for tag, value in entries if tag == _DT_NEEDED]
    search = [text(values[tag]) for tag in (_DT_RUNPATH, _DT_RPATH) if tag in values]
    return needed, search[:1]


def _offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    for start, offset, length in loads:
        if start <= address < start + length:
            return address - start + offset
    raise IndexError("an address outside of the file")


def libraries(programs: list[str]) -> Iterator[str]:
    """Paths of the dynamic linkers and libraries that the programs need, each once, as the linker finds them.

    Raises FileNotFoundError for a library that is not there.
    """
    seen: set[str] = set()
    todo = list(programs)
    while todo:
        found = read(todo.pop())
        if found is None:
            continue
        paths = [found.interpreter] if found.interpreter else []
        paths += [_find(name, found) for name in found.needed]
        for path in paths:
            if path not in seen:
                seen.add(path)
                todo.append(path)
                yield path


def _find(name: str, wanted_by: Object) -> str:
    if "/" in name:
        return name
    folders = [*wanted_by.search, *_default_folders(wanted_by.machine[1])]
    own = [f"{folder}/{name}" for folder in wanted_by.search]
    for path in [*own, *_cached().get(name, []), *(f"{folder}/{name}" for folder in folders)]:
        if os.path.isfile(path) and (found := read(path)) and found.machine == wanted_by.machine:
            return path
    raise FileNotFoundError(2, f"no shared library {name}", name)


def _default_folders(machine: int) -> list[str]:
    multiarch = _MULTIARCH.get(machine)
    own = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"] if multiarch else []
    return [*own, *_DEFAULTS]


@cache
def _cached() -> dict[str, list[str]]:
    """ld.so.cache(8): names to paths, without those for special processors (glibc, sysdeps/generic/dl-cache.h)."""
    try:
        with open("/etc/ld.so.cache", "rb") as file:
            content = file.read()
    except OSError:
        return {}
    start = content.find(_CACHE_MAGIC)
    if start < 0:
        return {}
    content = content[start:]
    found: dict[str, list[str]] = {}
    (count,) = struct.unpack_from("=I", content, 20)
    for _, key, value, _, hwcap in struct.iter_unpack("=iIIIQ", content[48 : 48 + 24 * count]):
        if not hwcap:
            name, path = (os.fsdecode(content[at : content.index(b"\0", at)]) for at in (key, value))
            found.setdefault(name, []).append(path)
    return found
