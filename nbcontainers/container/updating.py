"""`update`: other limits for a container, in force at once where it runs, and for every later start.

The kernel's files, state.json and config.json change together or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from nbcontainers.cgroups.cgroup import Cgroup, Resources
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import resources, store
from nbcontainers.container.container import Container
from nbcontainers.container.host import this_host
from nbcontainers.container.options import RunOptions, UpdateOptions, check_names
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.launcher import client
from nbcontainers.monitor.files import replace
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
    record, engine = container.record, container.engine
    check_names(options)
    if not options:
        raise InvalidArgument("nothing was asked to be changed", hint="type container update -m 512m, or another limit")
    config = store.read(engine, container.id, "config.json")
    now = config["linux"].get("resources") or {}
    wanted = resources.asked(_completed(options, now), this_host(engine.rootless))
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
    engine = Engine(root=_path(root), run=_path(run), rootless=os.geteuid() != 0)
    state = store.state(engine, id)
    with store.changed(engine, id):
        config = store.read(engine, id, "config.json")
        if not store.alive(state):
            _keep(engine, id, config, wanted)
            return
        cgroup = open_record(state["cgroup"])
        _check(cgroup, wanted)
        before = _before(wanted, cgroup)
        try:
            _apply(cgroup, wanted)
            replace(f"{run}/{id}/state.json", {**state, "cgroup": cgroup.record})
            _keep(engine, id, config, wanted)
        except BaseException:
            cgroup.apply(before)
            replace(f"{run}/{id}/state.json", {**state, "cgroup": cgroup.record})
            raise


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)


def _keep(engine: Engine, id: str, config: dict[str, Any], wanted: Resources) -> None:
    """In config.json, for the next start."""
    linux = config["linux"]
    kept = dict(linux.get("resources") or {})
    for section, limits in wanted.items():
        kept[section] = {**(kept.get(section) or {}), **limits}
    replace(f"{store.folder(engine, id)}/config.json", {**config, "linux": {**linux, "resources": kept}})


def _check(cgroup: Cgroup, wanted: Resources) -> None:
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


def _apply(cgroup: Any, wanted: Resources) -> None:
    """v1 joins hierarchies by need: processes that run already are moved into those that are needed only now."""
    joined = set(cgroup.record.get("joined", ()))
    cgroup.apply(wanted)
    for controller in set(cgroup.record.get("joined", ())) - joined:
        folder = cgroup.find(controller)
        while left := set(cgroup.procs()) - set(folder.procs()):
            for pid in left:
                try:
                    folder.write("cgroup.procs", str(pid))
                except ProcessLookupError:
                    continue


def _before(wanted: Resources, cgroup: Any) -> Resources:
    """The resources that put back what is in force now."""
    limits: Mapping[str, Any] = cgroup.limits
    found: Resources = {}
    for section, keys in wanted.items():
        kept = limits.get(section) or {}
        known = {key: kept.get(key, _UNLIMITED.get(section, {}).get(key)) for key in keys}
        found[section] = {key: value for key, value in known.items() if value is not None}
    return found
