"""What is known of a container outside its own processes: one `state.json` in the run directory (runtime.md, State)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nbcontainers.errors import InvalidArgument, InvalidState, NotFound
from nbcontainers.linux import process

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-")
_REST = _FIRST | {"."}
FIFO = "exec.fifo"


def check_id(id: str) -> str:
    """The grammar crun and runc share; also what keeps an id from being a path."""
    if not id or id[0] not in _FIRST or not _REST.issuperset(id) or len(id) > 1024:
        raise InvalidArgument(
            f"{id!r} is no container id", hint="use letters, digits, '_', '+', '-' and, not in front, '.'"
        )
    return id


class State:
    """A container as its state file tells it; `status` looks at the process itself."""

    def __init__(self, document: dict[str, Any], folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.id: str = document["id"]
        self.pid: int = document["pid"]
        self.start_time: int | None = document["start_time"]
        self.bundle = Path(document["bundle"])

    @property
    def status(self) -> str:
        """`created`, `running`, `paused` or `stopped`."""
        if not process.alive(self.pid, self.start_time):
            return "stopped"
        if (self.folder / FIFO).exists():
            return "created"
        return "paused" if self.cgroup.frozen else "running"

    @property
    def cgroup(self) -> Any:
        """The container's cgroup, opened from its record (cgroups.cgroup.Cgroup)."""
        from nbcontainers.cgroups.detect import open_record

        return open_record(self.document["cgroup"])

    @property
    def config(self) -> dict[str, Any]:
        """What the container was created from: the program's own copy, or the bundle's, which its owner leaves alone."""
        kept = self.folder / "config.json"
        with open(kept if kept.exists() else self.bundle / "config.json", "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]

    def oci(self) -> dict[str, Any]:
        """The state object of the runtime-spec."""
        return oci_state(self.document, self.status)


def oci_state(document: dict[str, Any], status: str) -> dict[str, Any]:
    """The state object of the runtime-spec, as `state` prints it and hooks read it."""
    state = {key: document[key] for key in ("ociVersion", "id", "pid", "bundle", "annotations")}
    return {**state, "status": status, "pid": 0 if status == "stopped" else state["pid"]}


def write_json(path: str, document: Any) -> None:
    """Replace a small file as a whole: readers see the old or the new one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w") as file:
        file.write(json.dumps(document))
    os.rename(temporary, path)


def load(run: Path, id: str) -> State:
    """The state of one container. Raises NotFound."""
    folder = run / check_id(id)
    try:
        with open(folder / "state.json", "rb") as file:
            return State(json.load(file), folder)
    except (FileNotFoundError, json.JSONDecodeError):  # an empty file is a container about to be created
        raise NotFound(f"no container {id!r}", hint="nbcontainers-runtime list shows what there is") from None


def load_all(run: Path) -> list[State]:
    """Every container below `run`, by id."""
    found = sorted(path.parent.name for path in run.glob("*/state.json"))
    states = []
    for id in found:
        try:
            states.append(load(run, id))
        except NotFound:  # deleted while we looked
            continue
    return states


def require(state: State, *statuses: str, verb: str) -> None:
    """Raise InvalidState unless the container is in one of `statuses`."""
    status = state.status
    if status not in statuses:
        raise InvalidState(f"cannot {verb} container {state.id!r}: it is {status}", status=status)
