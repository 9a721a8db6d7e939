"""The first file system of a guest: busybox, our init, the kernel's modules and the request; cpio(5), format "newc".

It is not compressed: the kernel copies it faster than it could unpack it.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from nbcontainers.errors import HostNotCapable
from nbcontainers.image import elf
from nbcontainers.vm import modules

INIT = Path(__file__).parent / "guest" / "init.sh"
_APPLETS = (
    "sh cat dd dmesg env grep hostname insmod ip kill ln mkdir mkfifo mount nsenter poweroff readlink sed "
    "setsid sleep stty sync touch umount usleep"
).split()
_FOLDERS = ("bin", "dev", "etc", "modules", "proc", "root", "run", "sys")


class Entry(NamedTuple):
    """A file, a folder or (mode of one) a symbolic link whose `content` is its target."""

    path: str
    mode: int
    content: bytes = b""


def base(files: Sequence[Path]) -> bytes:
    """What is the same for every run with these modules. Raises HostNotCapable where there is no busybox."""
    entries = [Entry(name, stat.S_IFDIR | 0o755) for name in _FOLDERS]
    entries += tool("busybox", "busybox-static")
    entries += [Entry(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox") for name in _APPLETS]
    entries.append(Entry("init", stat.S_IFREG | 0o755, INIT.read_bytes()))
    entries += [Entry(f"modules/{name_of(path)}", stat.S_IFREG | 0o644, modules.content(path)) for path in files]
    return archive(entries)


def name_of(module: Path) -> str:
    """The name of a module's file in the guest."""
    return module.name.partition(".")[0] + ".ko"


def program(name: str, package: str) -> str:
    """The path of a program of the host. Raises HostNotCapable that names Debian's package."""
    if path := shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"):
        return path
    raise HostNotCapable(f"{name} is not installed here", hint=f"apt-get install {package}", program=name)


def tool(name: str, package: str) -> list[Entry]:
    """A program of the host in bin, with its libraries. Raises HostNotCapable that names Debian's package."""
    path = program(name, package)
    return [Entry(f"bin/{name}", stat.S_IFREG | 0o755, Path(path).read_bytes()), *_libraries(path)]


def _libraries(program: str) -> list[Entry]:
    """Of one that is not static: its libraries at their places, with the folders on the way."""
    found: dict[str, Entry] = {}
    for path in sorted(elf.libraries([program])):
        place = Path(path.lstrip("/"))
        for folder in reversed(place.parents[:-1]):
            found.setdefault(str(folder), Entry(str(folder), stat.S_IFDIR | 0o755))
        found[str(place)] = Entry(str(place), stat.S_IFREG | 0o755, Path(path).read_bytes())
    return list(found.values())


def archive(entries: Iterable[Entry]) -> bytes:
    """One archive; several may follow each other in one file."""
    data = bytearray()
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0))):
        _append(data, number, entry)
    return bytes(data)


def _append(data: bytearray, inode: int, entry: Entry) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    data += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    data += b"\0" * (-len(data) % 4)
    data += entry.content
    data += b"\0" * (-len(data) % 4)
