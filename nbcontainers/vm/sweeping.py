"""The folders of a machine: made before it boots, removed after its end, and swept where its keeper was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbcontainers.linux import flock
from nbcontainers.monitor import recipe
from nbcontainers.vm import hardware
from nbcontainers.vm.places import Places


def make(plan: Mapping[str, Any], places: Places) -> int:
    """Its folders, and the descriptor that holds its lock. Raises NameInUse."""
    place = os.path.dirname(places.folder)
    os.makedirs(place, mode=0o700, exist_ok=True)
    with flock.folder_held(place):
        sweep(plan["root"], plan["run"])
        lock = _folder(places.folder)  # first: all else is known by it where we are killed
        try:
            if plan["record"]:
                places.make(plan["record"])
        except BaseException:
            places.forget_live()
            places.forget()
            os.rmdir(places.folder)
            os.close(lock)
            raise
    return lock


def sweep(root: str, run: str) -> list[str]:
    """Remove what keepers left that were killed; names of the folders. The caller holds the lock of ROOT/vm."""
    left = [folder for folder in Path(root, "vm").iterdir() if flock.folder_free(folder, shared=True)]
    for folder in left:
        places = Places(root, run, folder.name)
        places.forget_live()
        if places.read("machine.json").get("remove", True):  # without its record it had only begun
            places.forget()
        shutil.rmtree(folder, ignore_errors=True)
    for forgotten in Path(root, "machines").glob(".*"):
        shutil.rmtree(forgotten, ignore_errors=True)
    return [folder.name for folder in left]


def tidy(root: str, run: str) -> list[str]:
    """The same in a process of the launcher, while nobody makes such a folder."""
    if not os.path.isdir(f"{root}/vm"):
        return []
    with flock.folder_held(f"{root}/vm"):
        return sweep(root, run)


def _folder(path: str) -> int:
    """Make it, and hold its lock as long as we live."""
    os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def remove(plan: Mapping[str, Any]) -> None:
    """The folder, once nothing is mounted in it: rmdir(2) refuses a mount point, whose files are the host's. What is left
    then goes with a later sweep, from where the mounts cannot be seen."""
    try:
        if plan["kind"] != hardware.UML:
            recipe.undo(plan["steps"])
        for place in plan["places"]:
            if os.path.isdir(place):
                os.rmdir(place)
    except OSError:
        return
    shutil.rmtree(plan["folder"], ignore_errors=True)
