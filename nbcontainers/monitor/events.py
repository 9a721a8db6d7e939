"""What happened to containers, images, networks and volumes: one JSON object a line in the engine's `events`.

A fact is `{"time": RFC 3339 in UTC, "type", "action", "id", "attributes": {name: text}}` in Docker's words (moby,
api/types/events). Whoever does something writes it down afterwards, with `record`. The file is bounded: when it is
full it becomes `events.1`, and what was that goes. Writers hold the file's lock, so facts are whole and in order.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, suppress
from typing import IO, Any

from nbcontainers.monitor.files import rfc3339

Event = dict[str, Any]

#: Of each of the two files; some 4,000 facts.
MAX_SIZE = 1 << 20
_PAUSE_S = 0.1


def record(root: str | os.PathLike[str], type: str, action: str, id: str, **attributes: object) -> None:
    """Write down that `action` happened to the object `id` of a `type` (container, image, network, volume).

    `root` is the engine's. Never raises for want of room or of the folder: what happened, happened.
    """
    fact: Event = {"time": rfc3339(time.time_ns()), "type": type, "action": action, "id": id}
    fact["attributes"] = {name: str(value) for name, value in attributes.items() if value is not None}
    with suppress(OSError):
        _append(f"{os.fspath(root)}/events", f"{json.dumps(fact, separators=(',', ':'))}\n".encode())


def _append(path: str, line: bytes) -> None:
    file = _open_last(path)
    try:
        size = os.fstat(file).st_size
        if os.write(file, line) < len(line):  # a full disk: no half facts
            os.ftruncate(file, size)
        elif size + len(line) > MAX_SIZE:
            os.rename(path, f"{path}.1")
    finally:
        os.close(file)


def _open_last(path: str) -> int:
    """The present file, locked; not one that another writer has put away in the meantime."""
    while True:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is(file, path):
            return file
        os.close(file)


def _is(file: int, path: str) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def read(
    root: str | os.PathLike[str],
    *,
    since: str = "",
    until: str = "",
    filters: Mapping[str, Collection[str]] | None = None,
    follow: Callable[[], bool] | None = None,
) -> Generator[Event, None, None]:
    """The facts from `since` to `until` (RFC 3339 in UTC; "" is no bound), the oldest first.

    `filters` gives wanted values, any of each, of `type`, `action`, `id` (its beginning) or of attributes. With `follow`
    it goes on to wait for what comes until that function, asked ten times a second, returns False, or `until` is over.
    """
    with closing(_Files(f"{os.fspath(root)}/events")) as files:
        while True:
            last = follow is None or not follow() or bool(until and rfc3339(time.time_ns()) >= until)
            for fact in files.read():
                if fact["time"] >= since and (not until or fact["time"] < until) and matches(fact, filters or {}):
                    yield fact
            if last:
                return
            time.sleep(_PAUSE_S)


def matches(fact: Event, filters: Mapping[str, Collection[str]]) -> bool:
    """Whether a fact has one of the wanted values everywhere. `health_status` is the action `health_status: healthy` too."""
    for name, wanted in filters.items():
        found = fact.get(name) if name in ("type", "action", "id") else fact["attributes"].get(name)
        if found is None or not any(_agrees(name, str(found), one) for one in wanted):
            return False
    return True


def _agrees(name: str, found: str, wanted: str) -> bool:
    if name == "id":
        return found.startswith(wanted)
    return found == wanted or (name == "action" and found.partition(":")[0] == wanted)


class _Files:
    """The two files as one that grows, followed also while they take turns."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def close(self) -> None:
        if self.file:
            self.file.close()

    def read(self) -> Iterator[Event]:
        """The whole facts that are new since the last call."""
        while True:
            put_away = self.file is None or not _is(self.file.fileno(), self.path)  # asked before the last reading
            if self.file:
                yield from _facts(_rest(self.file))
            if not put_away or not self._go_on():
                return

    def _go_on(self) -> bool:
        """Take the next file: the older one, unless that is ours; False where there is none yet."""
        before, present = self._both()
        if before and self.file and os.path.samestat(os.fstat(before.fileno()), os.fstat(self.file.fileno())):
            before.close()
            before = None
        if before and present:
            present.close()
        if not (found := before or present):
            return False
        self.close()
        self.file = found
        return True

    def _both(self) -> tuple[IO[bytes] | None, IO[bytes] | None]:
        """The older file and the present one, opened while nobody writes and none is put away."""
        while present := _open(self.path):
            fcntl.flock(present, fcntl.LOCK_SH)
            if _is(present.fileno(), self.path):
                before = _open(f"{self.path}.1")
                fcntl.flock(present, fcntl.LOCK_UN)
                return before, present
            present.close()
        return _open(f"{self.path}.1"), None


def _rest(file: IO[bytes]) -> bytes:
    """What has come, up to the end of the last whole line."""
    at = file.tell()
    data = file.read()
    end = data.rfind(b"\n") + 1
    file.seek(at + end)
    return data[:end]


def _open(path: str) -> IO[bytes] | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _facts(data: bytes) -> Iterator[Event]:
    for line in data.splitlines():
        with suppress(ValueError, RecursionError):  # cut off by the end of the machine
            if _is_fact(found := json.loads(line)):
                yield found


def _is_fact(found: Any) -> bool:
    """What somebody else wrote there is passed over."""
    texts = ("time", "type", "action", "id")
    return (
        isinstance(found, dict) and all(isinstance(found.get(name), str) for name in texts)
        and isinstance(found.get("attributes"), dict)
    )  # fmt: skip
