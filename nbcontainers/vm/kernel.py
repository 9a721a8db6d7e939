"""Kernels to boot: one that was fetched, the host's own, a file that was given, or the program user-mode-linux."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.vm.hardware import KVM, TCG
from nbcontainers.vm.hardware import UML as UML_KIND

UML = "linux.uml"
UML_MODULES = Path("/usr/lib/uml/modules")
_BANNER = re.compile(rb"Linux version (\d+\.\d+[\w.+-]*) ")
_HEADER, _MAGIC, _VERSION, _SECTORS, _LENGTH = 0x202, b"HdrS", 0x20E, 0x1F1, 0x1F4
"""Of a bzImage: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"."""


@dataclass(frozen=True)
class Kernel:
    """`modules` is the folder lib/modules/RELEASE of this kernel, None where it has none here."""

    path: Path
    release: str
    modules: Path | None
    origin: str
    uml: bool = False


def folder(engine: Engine) -> Path:
    """Where fetched kernels are: a folder a release, with `vmlinuz` and `modules`."""
    return engine.root / "kernels"


def find(engine: Engine, *, uml: bool, given: str = "") -> Kernel:
    """The kernel to boot. Raises HostNotCapable with what to type where there is none."""
    if given:
        return _given(Path(given), uml=uml)
    if uml:
        return user_mode()
    for kernel in (*fetched(engine), *_of_the_host()):
        return kernel
    raise HostNotCapable(
        "there is no kernel here that a virtual machine could boot", hint="type vm fetch-kernel, or --kernel FILE"
    )


def fetched(engine: Engine) -> Iterator[Kernel]:
    """What `vm fetch-kernel` brought, the newest first."""
    found = [path for path in folder(engine).glob("*/vmlinuz") if not path.parent.name.startswith(".")]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        yield Kernel(path, path.parent.name, path.parent / "modules", "fetched")


def user_mode() -> Kernel:
    """The kernel that is a program. Raises HostNotCapable."""
    path = shutil.which(UML)
    if not path:
        raise HostNotCapable("user-mode-linux is not installed here", hint="apt-get install user-mode-linux")
    release = _release_of_program(path)
    modules = UML_MODULES / release
    return Kernel(Path(path), release, modules if modules.is_dir() else None, "user-mode-linux", uml=True)


@cache
def _release_of_program(path: str) -> str:
    """Read, not asked: nothing runs outside of its jail. Raises InvalidArgument for a program that is no kernel."""
    found = _BANNER.search(Path(path).read_bytes())
    if not found:
        raise InvalidArgument(
            f"{path} is no kernel of user-mode-linux: there is no version in it",
            hint="apt-get install user-mode-linux, and leave --kernel out",
        )
    return found[1].decode()


def _of_the_host() -> Iterator[Kernel]:
    """In /boot, the running one first; those we may read."""
    running = platform.release()
    for path in sorted(
        Path("/boot").glob("vmlinuz-*"), key=lambda path: (path.name != f"vmlinuz-{running}", path.name)
    ):
        name = path.name.partition("-")[2]
        modules = Path("/lib/modules", name)
        if os.access(path, os.R_OK) and modules.is_dir():
            yield Kernel(path, release(path), modules, "the host's")


def kinds_of(path: Path) -> tuple[str, ...]:
    """What can boot the file: a program is user-mode-linux. Raises InvalidArgument where there is none."""
    if not path.is_file():
        raise InvalidArgument(
            f"--kernel {path}: there is no such file", hint="name a bzImage (vmlinuz-…), or type vm fetch-kernel"
        )
    if not os.access(path, os.R_OK):
        raise InvalidArgument(
            f"--kernel {path} may not be read by you", hint="copy it as root to where it may, or type vm fetch-kernel"
        )
    with path.open("rb") as file:
        return (UML_KIND,) if file.read(4) == b"\x7fELF" else (KVM, TCG)


def _given(path: Path, *, uml: bool) -> Kernel:
    if uml and kinds_of(path) != (UML_KIND,):
        raise InvalidArgument(f"--kernel {path} is no program, as user-mode-linux is one", hint="take --kind tcg")
    if uml:
        path = path.absolute()
        return Kernel(path, _release_of_program(str(path)), None, "given", uml=True)
    kinds_of(path)
    name = release(path)
    beside = [path.parent / "modules", path.parent.parent / "lib/modules" / name, Path("/lib/modules") / name]
    return Kernel(path.absolute(), name, next((one for one in beside if one.is_dir()), None), "given")


def release(path: Path) -> str:
    """What the kernel in a bzImage calls itself. Raises InvalidArgument for what is none."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if head[_HEADER : _HEADER + 4] != _MAGIC:
        raise InvalidArgument(
            f"{path} is no kernel that boots (bzImage)", hint="take vmlinuz-… of a Debian package linux-image-…"
        )
    whole = ((head[_SECTORS] or 4) + 1) * 512 + int.from_bytes(head[_LENGTH : _LENGTH + 4], "little") * 16
    if path.stat().st_size < whole:
        raise InvalidArgument(
            f"the kernel {path} is cut short: {path.stat().st_size} of its {whole} bytes are there",
            hint="copy it again, or type vm fetch-kernel",
        )
    start = 0x200 + int.from_bytes(head[_VERSION : _VERSION + 2], "little")
    return head[start : start + 100].partition(b"\0")[0].decode("latin-1").partition(" ")[0]
