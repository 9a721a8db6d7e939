"""`pause` and `unpause`: every process of a container held still by the freezer of its cgroup (cgroups(7))."""

from __future__ import annotations

from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import store
from nbcontainers.container.container import Container
from nbcontainers.container.failure import not_running
from nbcontainers.errors import HostNotCapable, InvalidState


def pause(container: Container) -> str:
    """Returns its name. Raises InvalidState unless it runs, HostNotCapable where there is no cgroup to freeze."""
    record, status = container.record, container.status
    name = str(record["name"])
    if status == "paused":
        raise InvalidState(
            f"container {name} is already paused", hint=f"container unpause {name} lets it go on", status=status
        )
    if status != "running":
        raise not_running(name, status)
    cgroup = _cgroup(container, name)
    try:
        cgroup.freeze()
    except BaseException as error:  # it did not stop in time, or we were interrupted: half of it would stand still
        cgroup.thaw()
        if isinstance(error, HostNotCapable):
            error.message = f"container {name} cannot be paused: {error.message}"
        raise
    store.happened(container.engine, record, "pause")
    return name


def unpause(container: Container) -> str:
    """Returns its name. Raises InvalidState unless it is paused."""
    record, status = container.record, container.status
    name = str(record["name"])
    if status != "paused":
        hint = f"container pause {name} holds it still" if status == "running" else f"container start {name} starts it"
        raise InvalidState(f"container {name} is not paused: it is {status}", hint=hint, status=status)
    _cgroup(container, name).thaw()
    store.happened(container.engine, record, "unpause")
    return name


def _cgroup(container: Container, name: str) -> Cgroup:
    record = store.state(container.engine, container.id).get("cgroup")
    if not record:  # it has ended since we looked
        raise not_running(name, container.status)
    return open_record(record)
