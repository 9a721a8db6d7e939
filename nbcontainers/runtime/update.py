"""`update`: other limits for a container that runs."""

from __future__ import annotations

from typing import Any

from nbcontainers.cgroups.cgroup import Limits, Resources
from nbcontainers.runtime.state import State, require, write_json


def update(state: State, resources: Resources) -> Limits:
    """Set limits and keep them in the state. Returns those in force; raises InvalidState, HostNotCapable, InvalidArgument."""
    require(state, "created", "running", "paused", verb="update")
    cgroup = state.cgroup
    limits = set_limits(cgroup, resources)
    write_json(str(state.folder / "state.json"), {**state.document, "cgroup": cgroup.record})
    return limits


def set_limits(cgroup: Any, resources: Resources) -> Limits:
    """v1 joins hierarchies by need: processes that run already are moved into those that are needed only now."""
    joined = set(cgroup.record.get("joined", ()))
    limits: Limits = cgroup.apply(resources)
    for controller in set(cgroup.record.get("joined", ())) - joined:
        folder = cgroup.find(controller)
        while left := set(cgroup.procs()) - set(folder.procs()):
            for pid in left:
                try:
                    folder.write("cgroup.procs", str(pid))
                except ProcessLookupError:
                    continue
    return limits
