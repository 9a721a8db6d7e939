"""Volumes on disk: one folder each, closed to everybody else.

    volumes/NAME/volume.json   what was decided when it was made
    volumes/NAME/_data         the files, or where the volume's own file system is mounted
    volumes/NAME/_incoming     an image's files on their way in, then _complete: see `contents`
    volumes/.lock              shared by whoever makes a container, alone for whoever removes volumes

A folder is filled under another name and renamed, so whoever lists volumes sees whole ones only. Which containers use
a volume is what their own records say.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nbcontainers.errors import Error, InvalidArgument, InvalidState, NotFound
from nbcontainers.linux import flock, tree
from nbcontainers.monitor import events
from nbcontainers.monitor.files import records, replace, rfc3339

Record = dict[str, Any]

DATA, INCOMING, COMPLETE = "_data", "_incoming", "_complete"
LONGEST_NAME = 255
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PWD = re.compile(r"\$(PWD|\{PWD\}|\(pwd\))/?")
"""What a shell would have replaced; a cell's line has none."""


def check_name(name: str) -> str:
    """Docker's rule for names, which are never paths. Raises InvalidArgument with what to type."""
    if isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    if isinstance(name, str) and (_PWD.match(name) or "/" in name):
        hint = f"write ./{_PWD.sub('', name).lstrip('./')} for a folder of the host, or a name without a slash"
    elif isinstance(name, str) and len(name) == 1:
        hint = f"write at least two letters or digits, as in {name if name.isalnum() else 'd'}ata"
    else:
        hint = f"write letters, digits, '_', '.' and '-', at most {LONGEST_NAME}, as in my-data"
    raise InvalidArgument(f"{name!r} is no volume name", hint=hint)


def folder(root: str, name: str) -> str:
    return f"{root}/volumes/{name}"


def data(root: str, name: str) -> str:
    """Where its files are."""
    return f"{root}/volumes/{name}/{DATA}"


def names(root: str) -> list[str]:
    """All volumes, sorted."""
    try:
        return sorted(name for name in os.listdir(f"{root}/volumes") if not name.startswith("."))
    except FileNotFoundError:
        return []


def read(root: str, name: str) -> Record:
    """volume.json. Raises NotFound with names that come close, Error for a record that is damaged."""
    try:
        with open(f"{folder(root, name)}/volume.json", "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(data(root, name)):  # of a version that wrote no records
            return _record(name, created=rfc3339(os.stat(data(root, name)).st_ctime_ns))
        raise _missing(root, name) from None
    except ValueError:
        path = f"{folder(root, name)}/volume.json"
        hint = f"its files are in {data(root, name)}: save them, then rm -r {folder(root, name)}"
        raise Error(f"the record of volume {name} is damaged", hint=hint, path=path) from None


def _record(name: str, **facts: Any) -> Record:
    return {"name": name, "driver": "local", "labels": {}, "options": {}, "anonymous": False, **facts}


def _missing(root: str, name: str) -> NotFound:
    from difflib import get_close_matches

    close = get_close_matches(name, names(root), 3)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return NotFound(
        f"no volume {name!r}", hint=f"{guess}volume ls shows them; volume create {name} makes it", volume=name
    )


def create(root: str, name: str, **facts: Any) -> bool:
    """Make a volume unless it is there; whether it was made. `facts`: labels, options, anonymous."""
    record = _record(name, created=rfc3339(time.time_ns()), **facts)
    temporary = f"{root}/volumes/.{os.getpid()}.{os.urandom(6).hex()}.new"
    os.makedirs(f"{root}/volumes", 0o700, exist_ok=True)
    os.mkdir(temporary, 0o700)
    try:
        os.mkdir(f"{temporary}/{DATA}")
        os.chmod(f"{temporary}/{DATA}", 0o755)  # whatever the umask
        replace(f"{temporary}/volume.json", record)
        os.rename(temporary, folder(root, name))
    except OSError:
        tree.remove(temporary)
        if os.path.isdir(folder(root, name)):
            return False
        raise
    events.record(root, "volume", "create", name, driver="local")
    return True


def is_empty(folder: str) -> bool:
    """Whether nothing but our own work is in a volume's files."""
    with os.scandir(folder) as entries:
        return all(entry.name in (INCOMING, COMPLETE) for entry in entries)


def is_settled(beside: str) -> bool:
    """Whether no image's files are on their way, with `_incoming` and `_complete` in the folder `beside`."""
    return not any(os.path.lexists(f"{beside}/{name}") for name in (INCOMING, COMPLETE))


def withdraw(root: str, name: str) -> str:
    """Take a volume from everybody's sight; the folder that is to be removed, "" if somebody was quicker."""
    trash = f"{root}/volumes/.{os.getpid()}.{os.urandom(6).hex()}.removed"
    try:
        os.rename(folder(root, name), trash)
    except FileNotFoundError:
        return ""
    events.record(root, "volume", "destroy", name, driver="local")
    return trash


def users(root: str) -> dict[str, list[tuple[str, str]]]:
    """By volume the (id, name) of each container that names it, running or not."""
    found: dict[str, list[tuple[str, str]]] = {}
    for record in records(root):
        for name in dict.fromkeys(volumes_of(record)):
            found.setdefault(name, []).append((record["id"], record["name"]))
    return found


def volumes_of(record: Mapping[str, Any]) -> list[str]:
    """The volumes that a container's record names."""
    return [*(record.get("volumes") or ()), *(record.get("anonymous_volumes") or ())]


@contextmanager
def naming(root: str) -> Iterator[None]:
    """While a container's record that names volumes is being written: nobody removes any."""
    os.makedirs(f"{root}/volumes", 0o700, exist_ok=True)
    with flock.held(f"{root}/volumes/.lock", shared=True):
        yield


@contextmanager
def removing(root: str) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """While volumes are removed: nobody begins to use one; gives `users`."""
    os.makedirs(f"{root}/volumes", 0o700, exist_ok=True)
    with flock.held(f"{root}/volumes/.lock"):
        yield users(root)


def refuse_in_use(name: str, containers: list[tuple[str, str]]) -> None:
    """Raises InvalidState that names the containers, if there are any."""
    if not containers:
        return
    called = [container or id[:12] for id, container in containers]
    some = ", ".join(called[:3]) + (" and others" if len(called) > 3 else "")
    raise InvalidState(
        f"volume {name} is in use by {some}",
        hint=f"type container rm {' '.join(called[:3])} first, then volume rm {name}",
        volume=name, containers=called,
    )  # fmt: skip
