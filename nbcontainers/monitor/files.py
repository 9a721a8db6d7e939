"""One container's places on disk, and the small JSON files in them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from nbcontainers.errors import Error, InvalidState, NotFound, of_the_host
from nbcontainers.linux import flock, process

Document = dict[str, Any]


class Files:
    """`folder` lasts: the bundle, container.json, recipe.json, log, metrics, exit.json. `state` lives while it runs.
    A virtual machine on a network has no folder: what concerns its network is in `state`.

    Of container.json the monitor reads: `name`, `remove` (--rm), `interactive` (keep stdin open), `stop_signal`
    (number), `stop_timeout` (seconds), `anonymous_volumes` (names, removed with it) and `log` (see `log.open_log`).
    """

    def __init__(self, root: str, run: str, id: str) -> None:
        self.root, self.run, self.id = root, run, id
        self.folder = f"{root}/containers/{id}"
        self.state = f"{run}/{id}"

    def read(self, name: str) -> Document:
        """A JSON file of the folder. Raises NotFound if the container has gone."""
        try:
            return self._load(f"{self.folder}/{name}")
        except NotFound:
            if self.run and os.path.exists(f"{self.state}/{name}") and not os.path.exists(self.folder):
                return self._load(f"{self.state}/{name}")
            raise

    def read_state(self, name: str) -> Document:
        """A JSON file of the run folder; {} if there is none, or none yet."""
        try:
            return self._load(f"{self.state}/{name}")
        except (NotFound, ValueError):
            return {}

    def _load(self, path: str) -> Document:
        try:
            with open(path, "rb") as file:
                return json.loads(file.read())  # type: ignore[no-any-return]
        except FileNotFoundError:
            raise NotFound(f"container {self.id[:12]} has no {os.path.basename(path)}", path=path) from None

    def write(self, name: str, document: Document) -> None:
        replace(f"{self.folder}/{name}", document)

    @contextmanager
    def changed(self, name: str) -> Iterator[Document]:
        """A JSON file of the folder to read and change; it is written where the block ends without an error. One process
        at a time. Raises NotFound."""
        with ExitStack() as stack:
            try:
                stack.enter_context(flock.folder_held(self.folder))
            except FileNotFoundError:
                hint = "container ps -a shows those there are"
                raise NotFound(f"container {self.id[:12]} was removed", hint=hint) from None
            document = self.read(name)
            yield document
            self.write(name, document)

    def monitor_alive(self) -> bool:
        """Whether the process that monitor.json names still runs."""
        monitor = self.read_state("monitor.json")
        return process.alive(monitor.get("pid", 0), monitor.get("start_time"))


def records(root: str) -> Iterator[Document]:
    """container.json of every container below an engine's `root`. Raises InvalidState for a damaged one, so that
    nothing is removed whose users are unknown."""
    try:
        ids = sorted(os.listdir(f"{root}/containers"))
    except FileNotFoundError:
        return
    for id in ids:
        try:
            if not id.startswith("."):
                yield Files(root, "", id).read("container.json")
        except NotFound:  # being made or removed
            continue
        except ValueError:
            message = f"the record of container {id[:12]} is damaged, so what it uses is unknown"
            hint = f"rm -r {root}/containers/{id}, then %system prune"
            raise InvalidState(message, hint=hint, path=f"{root}/containers/{id}") from None


def replace(path: str, document: Document) -> None:
    """Write a whole file under another name, then rename: readers see the old one or the new one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            write(descriptor, json.dumps(document).encode())
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write(descriptor: int, data: bytes) -> None:
    """All of it, or OSError: on a nearly full disk write(2) takes a part and fails only the next time."""
    while data:
        data = data[os.write(descriptor, data) :]


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def as_error(error: BaseException) -> Error:
    """The exception as one of ours, for a record."""
    if isinstance(error, Error):
        return error
    return of_the_host(error) or Error(f"the monitor failed: {type(error).__name__}: {error}")
