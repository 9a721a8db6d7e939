"""Where user-mode-linux runs: namespaces that hold its program, its disk, and what is shared with it.

A guest's root may mount any folder that its kernel, a process of the host, can see (hostfs), and may load code into it.
So that process sees no more than it needs: not the host's files, not its /proc, whose links lead there, none of its
processes and networks; and it keeps no capability but those by which files that are shared with it have owners.
A network comes as a descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbcontainers.image import elf
from nbcontainers.linux import capabilities, mounts, namespaces, process
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import Bind

INITRD, DISK, OWN, MEMORY = "/initrd", "/image/disk", "/own", "/tmp"
"""In there: the initramfs, the image's disk, a folder of this run on the host's disk, and where the guest's memory is.
The disk has a folder: of one in / user-mode-linux makes no copy-on-write file (it does chdir("") first)."""
_ROOM = 64 << 20
_FILES = 4096
"""A guest's root can make files in there, which are memory of the host beside what they hold."""
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
_OF_READING, _OF_PORTS = ("CAP_DAC_READ_SEARCH",), ("CAP_NET_BIND_SERVICE",)
_OF_OWNERS = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID")
NAMESPACES = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET
"""It is made in these, as their pid 1: all its processes go with it."""


def place(folder: str) -> str:
    """Where it is put together; only the process in it sees anything there."""
    return f"{folder}/jail"


def enter(plan: Mapping[str, Any], initrd: bytes) -> dict[str, str]:
    """Go in, for good: in the process, made in `NAMESPACES`, that is to become the program. Returns the variables that it
    needs there.

    Of the plan: folder, kernel, preload, disk, memory, places and steps (of what is shared, below `place`).
    """
    root = place(plan["folder"])
    capabilities.last()  # remembered: it is read from /proc
    mounts.make_slave()
    os.mkdir(root)
    mounts.mount("tmpfs", root, "tmpfs", data=f"mode=755,size={plan['memory'] + _ROOM},nr_inodes={_FILES}")
    for path in (MEMORY, OWN, "/proc", *plan["places"]):
        os.makedirs(path if path.startswith(f"{root}/") else f"{root}{path}", exist_ok=True)
    Path(f"{root}{INITRD}").write_bytes(initrd)
    Path(f"{root}/proc/cpuinfo").write_bytes(Path("/proc/cpuinfo").read_bytes())
    programs = [path for path in (plan["kernel"], plan["preload"]) if path]
    libraries = list(elf.libraries(programs))
    for path in (*programs, *libraries, *_DEVICES):
        _show(path, f"{root}{path}")
    if plan["disk"]:
        _show(plan["disk"], f"{root}{DISK}")
    os.mkdir(f"{plan['folder']}/own")
    Bind.do({"source": f"{plan['folder']}/own", "target": f"{root}{OWN}"})
    recipe.perform(plan["steps"])
    for path in plan["places"]:  # an image's device would be the host's; hostfs shows it all the same
        shown = os.open(path, os.O_PATH | os.O_CLOEXEC)
        mounts.mount_setattr(shown, mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOSUID, recursive=True)
    mounts.pivot_root(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    _drop(_OF_OWNERS if plan["places"] else ())
    loaded = {"LD_PRELOAD": plan["preload"]} if plan["preload"] else {}
    folders = dict.fromkeys(os.path.dirname(path) for path in libraries)
    return {"TMPDIR": MEMORY, "HOME": OWN, "LD_LIBRARY_PATH": ":".join(folders), **loaded}


def confine(plan: Mapping[str, Any]) -> None:
    """For QEMU, which is in no jail: no capability but to read its files, and with a network of its own to have ports."""
    _drop((*_OF_READING, *(_OF_PORTS if "-netdev" in plan["devices"] else ())))


def _drop(but: Iterable[str]) -> None:
    """All capabilities but these, also for what is executed."""
    keep = capabilities.mask(but) & capabilities.permitted()
    process.prctl(process.PR_SET_NO_NEW_PRIVS, 1, call="prctl(PR_SET_NO_NEW_PRIVS)")
    capabilities.drop_bounding(keep)
    capabilities.set_all(keep, keep, 0)


def _show(source: str, target: str) -> None:
    """A file of the host, to be read only."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    Path(target).touch()
    Bind.do({"source": source, "target": target, "read_only": True})
