"""Containers on disk: one folder each, which is an OCI bundle, and one symbolic link a name.

    containers/ID/   config.json container.json recipe.json, upper/ work/ rootfs/, etc/ (hosts, hostname, resolv.conf)
                     and what the monitor writes: log metrics exit.json
    names/NAME       -> ID

A folder is filled under another name and renamed, so whoever lists containers sees whole ones only.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from typing import Any

from nbcontainers.container.names import check_name, random_name
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, InvalidState, NameInUse, NotFound
from nbcontainers.linux import process, tree
from nbcontainers.monitor import events
from nbcontainers.monitor.files import Files, replace, write

FILES = {"/etc/hostname": "etc/hostname", "/etc/hosts": "etc/hosts", "/etc/resolv.conf": "etc/resolv.conf"}
Record = dict[str, Any]

_HEX = frozenset("0123456789abcdef")
_SHORTEST_PREFIX = 2


def new_id() -> str:
    """64 hexadecimal digits."""
    return os.urandom(32).hex()


def folder(engine: Engine, id: str) -> str:
    return f"{engine.root}/containers/{id}"


def create(
    engine: Engine,
    record: Record,
    config: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    files: Mapping[str, str],
) -> str:
    """Write the container's folder and take its name; returns the name.

    `record` becomes container.json; its name may be "", then one is made up. `files` are texts by their place in
    the container. Raises NameInUse, and then nothing is left.
    """
    id, asked = record["id"], record["name"]
    final = folder(engine, id)
    temporary = f"{engine.root}/containers/.{id}.new"
    record["name"] = asked or random_name()
    os.mkdir(temporary, 0o700)
    lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)  # `system prune` leaves it alone
        _fill(temporary, record, config, steps, files)
        os.rename(temporary, final)
        _take_name(engine, record, made_up=not asked)
    except BaseException:
        for path in (temporary, final):
            tree.remove(path)
        raise
    finally:
        os.close(lock)
    return str(record["name"])


def _fill(
    folder: str, record: Record, config: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], files: Mapping[str, str]
) -> None:
    for name in ("upper", "work", "rootfs", "etc"):
        os.mkdir(f"{folder}/{name}")
        os.chmod(f"{folder}/{name}", 0o755)  # whatever the umask: upper is the container's root directory
    for place, text in files.items():
        _write(f"{folder}/{FILES[place]}", text, 0o644)
    _write(f"{folder}/config.json", json.dumps(config))
    _write(f"{folder}/container.json", json.dumps(record))
    _write(f"{folder}/recipe.json", json.dumps({"steps": steps}))


def _write(path: str, text: str, mode: int = 0o600) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if mode != 0o600:
            os.fchmod(file, mode)
        write(file, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(file)


def _take_name(engine: Engine, record: Record, *, made_up: bool) -> None:
    """Make the link; symlink(2) is what decides who gets a name. A made-up name gives way to one that is free."""
    for attempt in range(1, 100):
        try:
            os.symlink(record["id"], f"{engine.root}/names/{record['name']}")
        except FileExistsError:
            owner = owner_of(engine, record["name"])
            if owner and not made_up:
                raise name_in_use(record["name"], owner) from None
            if owner:
                record["name"] = random_name(attempt)
                replace(f"{folder(engine, record['id'])}/container.json", record)
        else:
            return
    raise NameInUse(f"no free name was found in 100 attempts near {record['name']!r}", hint="give one with --name")


def drop_name(engine: Engine, name: str, id: str) -> None:
    """Give the name back if it is still this container's."""
    path = f"{engine.root}/names/{name}"
    try:
        if os.readlink(path) == id:
            os.unlink(path)
    except FileNotFoundError:
        pass


def owner_of(engine: Engine, name: str) -> str | None:
    """The id of the container of that name. A link whose container is gone is cleared away."""
    try:
        id = os.readlink(f"{engine.root}/names/{check_name(name)}")
    except (FileNotFoundError, ValueError):
        return None
    if os.path.isdir(folder(engine, id)):
        return id
    drop_name(engine, name, id)
    return None


def name_in_use(name: str, id: str, *, replace: bool = True) -> NameInUse:
    """`replace`: whether the verb has that option."""
    hint = "add --replace to remove that one first, or type" if replace else "choose another, or type"
    return NameInUse(
        f"the name {name!r} is in use by container {id[:12]}",
        hint=f"{hint} container rm -f {name}",
        name=name, id=id,
    )  # fmt: skip


def find(engine: Engine, reference: str) -> str:
    """The id of a container by its name, id or the beginning of its id.

    Raises NotFound with names that come close, InvalidArgument where more than one id begins so.
    """
    if len(reference) == 64 and _HEX.issuperset(reference) and os.path.isdir(folder(engine, reference)):
        return reference
    if id := owner_of(engine, reference):
        return id
    if len(reference) >= _SHORTEST_PREFIX and _HEX.issuperset(reference):
        matches = [id for id in ids(engine) if id.startswith(reference)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InvalidArgument(
                f"{len(matches)} containers have an id beginning with {reference!r}", hint="type more of its digits"
            )
    close = get_close_matches(reference, names(engine), 3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise NotFound(f"no container {reference!r}", hint=f"{hint}container ps -a shows them", reference=reference)


def ids(engine: Engine) -> list[str]:
    """All containers, in no order."""
    return [entry for entry in os.listdir(f"{engine.root}/containers") if not entry.startswith(".")]


def names(engine: Engine) -> list[str]:
    return os.listdir(f"{engine.root}/names")


def take_name(engine: Engine, id: str, name: str) -> None:
    """One more name for a container. Raises NameInUse."""
    try:
        os.symlink(id, f"{engine.root}/names/{name}")
    except FileExistsError:
        if owner := owner_of(engine, name):
            raise name_in_use(name, owner, replace=False) from None
        os.symlink(id, f"{engine.root}/names/{name}")


def changed(engine: Engine, id: str) -> AbstractContextManager[Record]:
    """container.json to read and change: see `Files.changed`. Raises NotFound."""
    return Files(str(engine.root), str(engine.run), id).changed("container.json")


def happened(engine: Engine, record: Mapping[str, Any], action: str, **attributes: object) -> None:
    """Write into the engine's events what was done with a container."""
    events.record(
        engine.root, "container", action, record["id"], image=record["image"], name=record["name"], **attributes
    )


def read(engine: Engine, id: str, name: str) -> Record:
    """One of the container's json files. Raises NotFound if the container is gone; {} if the file is not there yet."""
    path = f"{folder(engine, id)}/{name}"
    try:
        with open(path, "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except FileNotFoundError:
        if not os.path.isdir(folder(engine, id)):
            raise _removed(id) from None
        return {}


def ended(engine: Engine, id: str) -> Record:
    """exit.json, which on a full disk waits in the run folder; {} while it has not ended. Raises NotFound."""
    return read(engine, id, "exit.json") or state(engine, id, "exit.json")


def _removed(id: str) -> NotFound:
    return NotFound(f"container {id[:12]} was removed", hint="container ps -a shows those there are")


def state(engine: Engine, id: str, name: str = "state.json") -> Record:
    """A json file of the run directory (state.json, monitor.json); {} while there is none."""
    try:
        with open(f"{engine.run}/{id}/{name}", "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except (FileNotFoundError, ValueError):
        return {}


def alive(record: Mapping[str, Any]) -> bool:
    """Whether the very process that `pid` and `start_time` name still lives."""
    return process.alive(record.get("pid", 0), record.get("start_time"))


def remove(engine: Engine, id: str, *, anonymous_volumes: bool = False) -> None:
    """Take the folder away, then the name; also what a killed monitor left.

    In a user namespace files may belong to ids only the launcher's children have. Raises OSError, Error.
    """
    root, run = str(engine.root), str(engine.run)
    if engine.rootless:
        from nbcontainers.launcher.client import call

        target = "nbcontainers.container.store:remove_here"
        failed = call(target, root=root, run=run, id=id, anonymous_volumes=anonymous_volumes)
    else:
        failed = remove_here(root, run, id, anonymous_volumes=anonymous_volumes)
    if failed:
        raise InvalidState(
            f"container {id[:12]} could not be removed whole: {'; '.join(failed)}", hint="type system prune"
        )


def remove_here(root: str, run: str, id: str, *, anonymous_volumes: bool) -> list[str]:
    """`remove`, in a process that may touch the files; returns what could not be done."""
    from nbcontainers.monitor import ending, leftovers

    files = Files(root, run, id)
    failed = leftovers.tidy(files, recorded=False) if os.path.isdir(files.state) else []
    try:
        settings = files.read("container.json")
    except (NotFound, ValueError):
        settings = {}
    if not anonymous_volumes:
        settings["anonymous_volumes"] = []
    return failed + ending.remove_container(files, settings)
