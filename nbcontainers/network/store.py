"""Networks on disk: one folder each, which also holds the addresses that are given out.

    networks/NAME/network.json      what `network create` decided
    networks/NAME/leases/ADDRESS    who has it: see `ipam`

A folder is filled under another name and renamed, so whoever lists networks sees whole ones only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from nbcontainers.errors import InvalidArgument, NameInUse, NotFound
from nbcontainers.linux import flock, tree
from nbcontainers.monitor.files import replace

Record = dict[str, Any]

DEFAULT = "nbcontainers"
#: Always there, and never on disk.
BUILT_IN = ("host", "none")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_TAKEN = (*BUILT_IN, "bridge", "default", "private", "container")


def check_name(name: str) -> str:
    """A name that can be a folder's and part of a host's. Raises InvalidArgument."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is no name for a network", hint="write letters, digits, _ . and -, as in network create backend"
        )
    if name in _TAKEN:
        raise InvalidArgument(f"the name {name!r} has a meaning of its own", hint="choose another name")
    return name


def folder(root: str, name: str) -> str:
    return f"{root}/networks/{name}"


def names(root: str) -> list[str]:
    """Those on disk, sorted."""
    try:
        return sorted(name for name in os.listdir(f"{root}/networks") if not name.startswith("."))
    except FileNotFoundError:
        return []


def read(root: str, name: str) -> Record:
    """Raises NotFound with names that come close."""
    try:
        with open(f"{folder(root, name)}/network.json", "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except (FileNotFoundError, NotADirectoryError):
        close = get_close_matches(name, [*names(root), DEFAULT, *BUILT_IN], 3)
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        hint = f"{guess}network ls shows them; network create {name} makes it"
        raise NotFound(f"no network {name!r}", hint=hint, reference=name) from None


def create(root: str, record: Record) -> None:
    """Write a network's folder. Raises NameInUse, and then nothing is left. Call it with the lock held."""
    final, temporary = folder(root, record["name"]), f"{root}/networks/.{record['name']}.{os.getpid()}.new"
    os.makedirs(f"{temporary}/leases", 0o700)
    try:
        replace(f"{temporary}/network.json", record)
        os.rename(temporary, final)
    except OSError as error:
        tree.remove(temporary)
        if not os.path.isdir(final):
            raise
        hint = f"choose another name, or type network rm {record['name']} first"
        raise NameInUse(f"there is a network {record['name']!r} already", hint=hint) from error


def remove(root: str, name: str) -> None:
    tree.remove(folder(root, name))


@contextmanager
def locked(root: str) -> Iterator[None]:
    """Only one process at a time makes, changes or removes networks of this engine, on disk and in the kernel."""
    os.makedirs(f"{root}/networks", 0o700, exist_ok=True)
    with flock.held(f"{root}/networks/.lock"):
        yield
