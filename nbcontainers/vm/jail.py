"""Where user-mode-linux runs: a mount namespace that holds its program, its disk, and what is shared with it.

A guest's root may mount any folder that its kernel, a process of the host, can see (hostfs). So that sees no more than it
needs: not the host's files, and not its /proc, whose links lead there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbcontainers.image import elf
from nbcontainers.linux import mounts, namespaces
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Bind

INITRD, DISK, OWN, MEMORY = "/initrd", "/disk", "/own", "/tmp"
"""In there: the initramfs, the image's disk, a folder of this run on the host's disk, and where the guest's memory is."""
_ROOM = 64 << 20


def place(folder: str) -> str:
    """Where it is put together; only the process in it sees anything there."""
    return f"{folder}/jail"


def enter(plan: Mapping[str, Any], initrd: bytes) -> dict[str, str]:
    """Go in, for good: in the process that is to become the program. Returns the variables that it needs there.

    Of the plan: folder, kernel, preload, disk, memory, places and steps (of what is shared, below `place`).
    """
    root = place(plan["folder"])
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()
    os.mkdir(root)
    mounts.mount("tmpfs", root, "tmpfs", data=f"mode=755,size={plan['memory'] + _ROOM}")
    for path in (MEMORY, OWN, "/proc", *plan["places"]):
        os.makedirs(path if path.startswith(f"{root}/") else f"{root}{path}", exist_ok=True)
    Path(f"{root}{INITRD}").write_bytes(initrd)
    Path(f"{root}/proc/cpuinfo").write_bytes(Path("/proc/cpuinfo").read_bytes())
    programs = [path for path in (plan["kernel"], plan["preload"]) if path]
    libraries = list(elf.libraries(programs))
    for path in (*programs, *libraries):
        _show(path, f"{root}{path}")
    if plan["disk"]:
        _show(plan["disk"], f"{root}{DISK}")
    os.mkdir(f"{plan['folder']}/own")
    Bind.do({"source": f"{plan['folder']}/own", "target": f"{root}{OWN}"})
    recipe.perform(plan["steps"])
    mounts.pivot_root(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    loaded = {"LD_PRELOAD": plan["preload"]} if plan["preload"] else {}
    folders = dict.fromkeys(os.path.dirname(path) for path in libraries)
    return {"TMPDIR": MEMORY, "HOME": OWN, "LD_LIBRARY_PATH": ":".join(folders), **loaded}


def _show(source: str, target: str) -> None:
    """A file of the host, to be read only."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    Path(target).touch()
    Bind.do({"source": source, "target": target, "read_only": True})
