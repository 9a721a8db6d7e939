"""`update`: other limits and another restart policy for a container, in force at once, and for every later start.

The kernel's files, state.json, config.json and container.json change together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import resources, service, store
from nbcontainers.container.container import Container
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, UpdateOptions, check_names
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.launcher import client
from nbcontainers.linux import process
from nbcontainers.monitor.files import Files, replace
from nbcontainers.runtime.update import set_limits
from nbcontainers.table import amount

_UNLIMITED: dict[str, dict[str, Any]] = {
    "memory": {"limit": -1, "swap": -1, "reservation": -1},
    "cpu": {"quota": -1, "period": 100_000, "shares": 1024},
    "pids": {"limit": -1},
    "blockIO": {"weight": 100},
}
"""What the kernel has where nothing was asked for."""


def update(container: Container, options: UpdateOptions) -> str:
    """Returns its name. Raises InvalidArgument for a limit below what is in use, HostNotCapable; then nothing changed."""
    engine = container.engine
    check_names(options)
    if not options:
        raise InvalidArgument("nothing was asked to be changed", hint="type container update -m 512m, or another limit")
    with store.changed(engine, container.id) as record:
        if options.get("restart") is not None:
            record["restart"] = service.restart_policy(cast(RunOptions, {**options, "rm": record.get("remove")}))
        config = store.read(engine, container.id, "config.json")
        now = config["linux"].get("resources") or {}
        asked = resources.asked(_completed(options, now), this_host(engine.rootless))
        wanted = {section: {**(now.get(section) or {}), **limits} for section, limits in asked.items()}
        client.call(
            "nbcontainers.container.updating:carry_out", root=str(engine.root), run=str(engine.run), id=container.id,
            wanted=wanted,
        )  # fmt: skip
    store.happened(engine, record, "update")
    return str(record["name"])


def _completed(options: UpdateOptions, now: Mapping[str, Any]) -> RunOptions:
    """A limit of memory and swap together is checked against the limit of memory, which may be the old one."""
    memory = (now.get("memory") or {}).get("limit")
    known = {"memory": memory} if memory and ("memory_swap" in options or "memory_reservation" in options) else {}
    return cast(RunOptions, {**known, **options})


def carry_out(root: str, run: str, id: str, wanted: Resources) -> None:
    """In a process of the launcher, which finishes or undoes what it began."""
    files = Files(root, run, id)
    state = files.read_state("state.json")
    if not process.alive(state.get("pid", 0), state.get("start_time")):
        _keep(files, wanted)
        return
    cgroup: Any = open_record(state["cgroup"])
    _check(cgroup, wanted)
    before = deepcopy(cgroup.limits)
    try:
        set_limits(cgroup, wanted)
        replace(f"{files.state}/state.json", {**state, "cgroup": cgroup.record})
        _keep(files, wanted)
    except BaseException:
        cgroup.apply(_undone(wanted, before, cgroup))
        cgroup.record["limits"] = before
        replace(f"{files.state}/state.json", {**state, "cgroup": cgroup.record})
        raise


def _keep(files: Files, wanted: Resources) -> None:
    """In config.json, for the next start."""
    config = files.read("config.json")
    linux = config["linux"]
    files.write(
        "config.json", {**config, "linux": {**linux, "resources": {**(linux.get("resources") or {}), **wanted}}}
    )


def _check(cgroup: Any, wanted: Resources) -> None:
    """A limit below what is in use would end processes (memory), or let none be started (pids)."""
    sampler = cgroup.sampler()
    try:
        sample = sampler.sample()
    finally:
        sampler.close()
    memory, processes = (wanted.get(key, {}).get("limit", -1) for key in ("memory", "pids"))
    used = sample.memory - max(0, sample.memory_inactive_file)
    if 0 < memory < used:
        raise InvalidArgument(
            f"--memory: {amount(memory)} is less than the {amount(used)} in use",
            hint=f"give it at least {-(-used // 2**20)}m, or have it use less first", option="memory",
        )  # fmt: skip
    if 0 < processes < sample.pids:
        raise InvalidArgument(
            f"--pids-limit: {processes} is less than the {sample.pids} processes and threads it has",
            hint=f"allow at least {sample.pids}, or end some first", option="pids_limit",
        )  # fmt: skip


def _undone(wanted: Resources, before: Limits, cgroup: Any) -> Resources:
    """The resources that put back what was in force."""
    found: Resources = {}
    for section, keys in wanted.items():
        known = {key: (before.get(section) or {}).get(key, _UNLIMITED.get(section, {}).get(key)) for key in keys}
        for key in ("cpus", "mems"):
            if key in known and known[key] is None and _has_cpuset(cgroup):
                known[key] = _inherited(cgroup, key)
        found[section] = {key: value for key, value in known.items() if value is not None}
    return found


def _has_cpuset(cgroup: Any) -> bool:
    """Without it nothing of a cpuset was changed, and there is nothing to put back."""
    try:
        cgroup.find("cpuset")
    except HostNotCapable:
        return False
    return True


def _inherited(cgroup: Any, key: str) -> str:
    """What a cpuset is where nobody asked: all that its parent has (v1 cpuset.cpus, v2 cpuset.cpus.effective)."""
    parent = cgroup.find("cpuset").parent
    return str(parent.read(f"cpuset.{key}.effective" if parent.has(f"cpuset.{key}.effective") else f"cpuset.{key}"))
