"""Kernel modules in the order to load them. A Debian package has no modules.dep (depmod(8) makes it where the package is
installed), but each file says what it depends on."""

from __future__ import annotations

import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nbcontainers.errors import HostNotCapable

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def in_order(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files of the modules `names` and of all they need, each after what it needs; without those that are part of
    the kernel itself. Raises HostNotCapable for one that this kernel does not have."""
    built_in = _names(_lines(folder / "modules.builtin"))
    files = _files(folder)
    order: list[Path] = []
    begun: set[Path] = set()

    def add(name: str) -> None:
        path = files.get(name)
        if path in begun or (path is None and name in built_in):
            return
        if path is None:
            raise HostNotCapable(
                f"the kernel {folder.name} has no module {name}", hint="type vm fetch-kernel for one that has"
            )
        begun.add(path)  # of two that need each other the kernel says so itself
        for other in needs(content(path)):
            add(other)
        order.append(path)

    for name in names:
        add(name)
    return order


def has(folder: Path, name: str) -> bool:
    """Whether the kernel can do that: by a module, or by itself."""
    return name in _names(_lines(folder / "modules.builtin")) or name in _files(folder)


def needs(module: bytes) -> list[str]:
    """The modules it depends on, from its section .modinfo."""
    found = _DEPENDS.search(module)
    return [name.replace("-", "_") for name in found[1].decode(errors="replace").split(",") if name] if found else []


def content(path: Path) -> bytes:
    """The module itself, whatever the package pressed it with. Raises HostNotCapable for one that is damaged."""
    try:
        return _PRESSED.get(path.suffix, bytes)(path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError, subprocess.CalledProcessError) as error:
        raise HostNotCapable(
            f"the module {path} cannot be read: {error}", hint="type vm fetch-kernel, or apt-get install zstd"
        ) from None


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


_PRESSED: Mapping[str, Callable[[bytes], bytes]] = {".xz": lzma.decompress, ".gz": gzip.decompress, ".zst": _zstd}


def _files(folder: Path) -> dict[str, Path]:
    found = (path for part in ("kernel", "updates") for path in folder.glob(f"{part}/**/*.ko*"))
    return {path.name.partition(".")[0].replace("-", "_"): path for path in found}


def _names(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[2].partition(".")[0].replace("-", "_") for path in paths}


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
