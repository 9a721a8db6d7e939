"""The plan of a machine: everything its keeper needs, as JSON; and the initramfs, made once a kernel and its modules."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.engine import Engine
from nbcontainers.vm import initramfs, modules
from nbcontainers.vm.hardware import TCG
from nbcontainers.vm.kernel import Kernel
from nbcontainers.vm.request import Request
from nbcontainers.vm.unpacking import keep, sweep, unpacked

KEEPER = "nbcontainers.vm.keeper:run"
_NO_RECORD: Mapping[str, Any] = {}
_KEPT = 24
"""Of the files each combination of modules has: one is used long after it was made."""
PORTS = ("virtio_pci", "virtio_console")
"""Modules without which a guest of QEMU cannot speak."""


def modules_of(kernel: Kernel, names: Sequence[str]) -> list[Path]:
    """The files to load, in order; none for a kernel that came without modules: it has to have them built in."""
    return modules.in_order(kernel.modules, names) if kernel.modules else []


def plan(
    engine: Engine,
    id: str,
    *,
    kind: str,
    program: str,
    kernel: Kernel,
    files: Sequence[Path],
    request: Request,
    memory: int,
    boot_s: float,
    run_s: float | None = None,
    cpus: int = 1,
    disk: str = "",
    steps: Sequence[Any] = (),
    places: Sequence[str] = (),
    servers: Sequence[dict[str, Any]] = (),
    devices: Sequence[str] = (),
    preload: str = "",
    record: Mapping[str, Any] = _NO_RECORD,
) -> dict[str, Any]:
    """What `keeper.run` is given. The folder `vm/ID` of the engine's root is the keeper's to make."""
    boots = unpacked(engine, kernel.path) if kind == TCG else kernel.path
    token = secrets.token_hex(16)
    return {
        "root": str(engine.root), "run": str(engine.run), "id": id, "record": dict(record), "token": token,
        "reads": request.command.reads == "yes", "terminal": bool(request.command.size),
        "folder": folder(engine, id), "kind": kind, "program": program, "kernel": str(boots), "memory": memory,
        "cpus": cpus, "disk": disk, "devices": list(devices), "steps": list(steps), "places": list(places), "servers": list(servers), "base": str(_base(engine, files)),
        "request": request.archive(token).hex(), "boot_s": boot_s, "run_s": run_s,
        "preload": preload,
    }  # fmt: skip


def folder(engine: Engine, id: str) -> str:
    return str(engine.root / "vm" / id[:12])


def _base(engine: Engine, files: Sequence[Path]) -> Path:
    """The path of the initramfs with these modules."""
    busybox = initramfs.program("busybox", "busybox-static")
    parts = [busybox, str(initramfs.INIT), *map(str, files)]
    stamp = repr([(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in parts])
    path = engine.cache / "vm" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.cpio"
    if not path.exists():
        keep(engine, path, initramfs.base(files))
        sweep(path.parent, "*.cpio", _KEPT)
    return path
