"""A container's files as it sees them, volumes and all, opened from outside: for `container cp`.

Of a running container its own mount namespace is entered for as long as it takes to open its root directory. One that
does not run is put together in a mount namespace of ours, which ends with us, however that is. Paths below the
descriptor are to be resolved inside of it (openat2(2), RESOLVE_IN_ROOT). In a process of the launcher.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbcontainers.container import store
from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.linux import flock, inroot, mounts, namespaces, process
from nbcontainers.monitor import recipe
from nbcontainers.monitor.files import Files
from nbcontainers.monitor.restart import WAITING
from nbcontainers.monitor.steps import mounted_by

_MOUNTING = ("nbcontainers.monitor.steps:", "nbcontainers.volume.steps:")
_OF_ROOT = "nbcontainers.monitor.steps:"
_PATIENCE_S = 10.0
"""For a monitor that tidies up after its container."""
Document = dict[str, Any]


@contextmanager
def opened(root: str, run: str, id: str) -> Iterator[int]:
    """The container's root directory (O_PATH). While one that does not run is open, it cannot be started."""
    files = Files(root, run, id)
    try:
        with flock.folder_held(files.folder):
            state = files.read_state("state.json")
            found = _enter(state) if store.alive(state) else -1
            if found < 0:
                found = _assemble(files)
                try:
                    yield found
                finally:
                    os.close(found)
                return
    except FileNotFoundError:
        if os.path.isdir(files.folder):
            raise
        raise NotFound(f"container {id[:12]} was removed", hint="container ps -a shows those there are") from None
    try:
        yield found
    finally:
        os.close(found)


def _enter(state: Document) -> int:
    """The root of a running container's mount namespace, wherever its processes went; -1 if it has just ended."""
    try:
        target = process.pidfd_open(state["pid"])
    except ProcessLookupError:
        return -1
    try:
        if not store.alive(state):
            return -1
        with namespaces.inside_mounts(target):
            return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        if store.alive(state):
            raise
        return -1
    finally:
        os.close(target)


def _assemble(files: Files) -> int:
    """Mount its root and its volumes in a mount namespace of our own."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_slave()
    steps = [step for step in files.read("recipe.json")["steps"] if step["step"].startswith(_MOUNTING)]
    if _borrowed(files):
        steps = [step for step in steps if not step["step"].startswith(_OF_ROOT)]
    recipe.perform(steps)
    root = os.open(f"{files.folder}/rootfs", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for mount in _own_mounts(files):
        _attach(root, mount)
    return root


def _borrowed(files: Files) -> bool:
    """Whether the container waits for its next run: then its monitor keeps its root mounted, and that one is used, not a
    second one over the same files. A monitor that is about to end is waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while store.alive(monitor := files.read_state("monitor.json")):
        if os.path.exists(f"{files.state}/{WAITING}"):
            tree = mounted_by(monitor, f"{files.folder}/rootfs", recursive=True)
            if tree >= 0 and os.path.exists(f"{files.state}/{WAITING}"):  # all the while
                _cover(f"{files.folder}/rootfs", tree)
                return True
            if tree >= 0:
                os.close(tree)
        if time.monotonic() > deadline:
            raise InvalidState(f"the monitor of container {files.id[:12]} does not end", hint="type system prune")
        time.sleep(0.005)
    return False


def _cover(path: str, tree: int) -> None:
    try:
        mounts.attach(tree, path)
    finally:
        os.close(tree)


def _own_mounts(files: Files) -> list[Document]:
    """The bind mounts that are the container's own or a user's, parents first; not the kernel's file systems."""
    asked = {mount["destination"] for mount in files.read("container.json").get("mounts") or ()}
    known = asked | set(store.FILES)
    listed = files.read("config.json").get("mounts") or ()
    return [mount for mount in listed if mount.get("type") == "bind" and mount["destination"] in known]


def _attach(root: int, mount: Document) -> None:
    try:
        tree = mounts.open_tree(mount["source"], recursive="rbind" in mount["options"])
    except FileNotFoundError:
        raise InvalidState(
            f"{mount['source']}, which is mounted on {mount['destination']}, has gone from this host",
            hint="make it again, as the container needs it to start",
        ) from None
    try:
        if "ro" in mount["options"]:
            mounts.mount_setattr(tree, mounts.MOUNT_ATTR_RDONLY, recursive="rro" in mount["options"])
        directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        make = inroot.make_directory if directory else inroot.make_file
        target = make(root, mount["destination"])
        try:
            mounts.move_mount(tree, target, mount["destination"])
        finally:
            os.close(target)
    finally:
        os.close(tree)
