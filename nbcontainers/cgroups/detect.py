"""What this host offers: which kind of cgroup a container gets, and where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from nbcontainers.cgroups.cgroup import PARENT, Cgroup
from nbcontainers.cgroups.folder import Folder
from nbcontainers.cgroups.hints import own_folder
from nbcontainers.cgroups.hybrid import Hybrid
from nbcontainers.cgroups.layout import CONTROLLERS, Hierarchy, Layout, layout
from nbcontainers.cgroups.null import Null
from nbcontainers.cgroups.v1 import JOINED, V1
from nbcontainers.cgroups.v2 import SUPERVISOR, V2
from nbcontainers.cgroups.v2 import controllers as v2_controllers
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.linux import namespaces

#: A cgroup to work below, in every hierarchy, instead of what is found: `/jupyter`.
ENVIRONMENT = "NBCONTAINERS_CGROUP"

_KINDS: dict[str, Callable[[dict[str, Any], Layout], Cgroup]] = {"v1": V1, "v2": V2, "hybrid": Hybrid, "null": Null}
#: Slices podman and Docker name when nobody asked for one.
_DEFAULT_SLICES = ("", "machine.slice", "system.slice", "user.slice")


def default_cgroup(id: str, *, rootless: bool) -> Cgroup:
    """The cgroup of a new container, not made yet: `PARENT/<id>` below each hierarchy we may write to.

    Root works below what is mounted (its own cgroup's limits don't bind its containers, as with Docker and Podman);
    an ordinary user below the cgroup the process is in or one named after the user, where that is delegated.
    """
    return _cgroup(f"{PARENT}/{id}", id, rootless, layout())


def from_path(path: str | None, id: str, *, rootless: bool, systemd: bool = False) -> Cgroup:
    """The cgroup for `linux.cgroupsPath`, as engines such as podman write it.

    An absolute path counts from each hierarchy's mount, a relative one from ours. `slice:prefix:name`, the form of
    engines that let systemd make the cgroups (`systemd`), becomes `PARENT/prefix-name`: we make it ourselves, and refuse a
    slice that was chosen by somebody, whose limits would be lost. Raises InvalidArgument, HostNotCapable.
    """
    if not path or path == f"/{PARENT}/{id}":  # the latter is what our own configurations say
        return default_cgroup(id, rootless=rootless)
    if systemd or (path.count(":") == 2 and "/" not in path):
        return _cgroup(f"{PARENT}/{_from_systemd(path)}", id, rootless, layout())
    if ".." in path.split("/") or "\0" in path:
        raise InvalidArgument(f"{path!r} is no path of a cgroup", hint="write it without '..'")
    if not path.startswith("/"):
        return _cgroup(f"{PARENT}/{path}", id, rootless, layout(), adopt=True)
    clean = path.strip("/")
    if not clean:
        raise InvalidArgument("the container cannot live in the root cgroup", hint="give it a path of its own")
    return _cgroup(clean, id, rootless, layout(), adopt=True, named=True)


def open_record(record: dict[str, Any]) -> Cgroup:
    """The cgroup that another process made, from its `record`."""
    return _KINDS[record["kind"]](record, layout())


def controllers(*, rootless: bool) -> frozenset[str]:
    """The controllers, by their v1 names (`blkio` for v2's io), whose limits a new container can have; reads only."""
    record = default_cgroup("probe", rootless=rootless).record
    found = {name for name in record.get("v1", {}) if name in CONTROLLERS}
    host = layout()
    if host.v2 and "base" in record:
        found |= {{"io": "blkio"}.get(name, name) for name in v2_controllers(Folder(record["base"], host.v2.device))}
    return frozenset(found)


def leftovers() -> Iterator[Cgroup]:
    """Every container's cgroup below our parents, whoever made it: for `system prune`.

    An ordinary user's launcher is uid 0 of its user namespace, and looks where its monitors made theirs.
    """
    found: dict[str, dict[str, str]] = {}
    host = layout()
    rootless = os.geteuid() != 0 or namespaces.in_user_namespace()
    probe = _cgroup(f"{PARENT}/probe", "probe", rootless, host, named=True).record
    for name, path in [*probe.get("v1", {}).items(), *([("", probe["v2"])] if "v2" in probe else [])]:
        try:
            ids = os.listdir(os.path.dirname(path))
        except FileNotFoundError:
            continue
        for id in ids:
            if os.path.isdir(f"{os.path.dirname(path)}/{id}"):
                found.setdefault(id, {})[name] = path
    for id in found:
        yield _cgroup(f"{PARENT}/{id}", id, rootless, host, named=True)


def _cgroup(name: str, id: str, rootless: bool, host: Layout, *, adopt: bool = False, named: bool = False) -> Cgroup:
    record: dict[str, Any] = {"kind": "null", "id": id, "rootless": rootless}
    if adopt:
        record["adopt"] = True
    v1 = _v1_paths(name, rootless, host, named)
    base = _v2_base(rootless, host)
    if v1:
        record |= {"kind": "v1", "v1": v1, "joined": [c for c in (*JOINED, "name=systemd") if c in v1]}
    if base is not None:
        record |= {"kind": "hybrid" if v1 else "v2", "v2": f"{base}/{name}", "base": base}
    return _KINDS[record["kind"]](record, host)


def _v1_paths(name: str, rootless: bool, host: Layout, named: bool) -> dict[str, str]:
    paths = {}
    for controller, hierarchy in host.v1.items():
        if controller not in CONTROLLERS and not named:
            continue
        base = _base(hierarchy, rootless)
        if base is not None:
            paths[controller] = f"{base}/{name}"
    return paths


def _bases(hierarchy: Hierarchy, rootless: bool) -> list[str]:
    """Where to work, below the mount point, the best first; "" is the mount point itself."""
    if chosen := os.environ.get(ENVIRONMENT, "").strip("/"):
        return [f"/{chosen}"]
    own = [hierarchy.own.removesuffix(f"/{SUPERVISOR}")] if hierarchy.own is not None else []
    return [*own, own_folder()] if rootless else ["", *own]


def _base(hierarchy: Hierarchy, rootless: bool) -> str | None:
    if hierarchy.read_only:
        return None
    places = (hierarchy.mount + below for below in _bases(hierarchy, rootless))
    return next((place for place in places if os.access(place, os.W_OK | os.X_OK)), None)


def _v2_base(rootless: bool, host: Layout) -> str | None:
    """The cgroup v2 to work below. An ordinary user must also be allowed to move a process there from here:
    the nearest common ancestor's cgroup.procs must be writable (cgroup-v2.rst, Delegation Containment)."""
    if host.v2 is None:
        return None
    base = _base(host.v2, rootless)
    if base is None or not rootless:
        return base
    here = host.v2.mount + (host.v2.own or "")
    common = os.path.commonpath([base, here])
    files = (f"{common}/cgroup.procs", f"{base}/cgroup.procs", f"{base}/cgroup.subtree_control")
    return base if all(os.access(file, os.W_OK) for file in files) else None


def _from_systemd(path: str) -> str:
    parts = path.split(":")
    if len(parts) != 3 or not parts[2] or "/" in path:
        raise InvalidArgument(f"{path!r} is no systemd cgroup", hint="the form is slice:prefix:name")
    slice, prefix, name = parts
    if slice not in _DEFAULT_SLICES:
        raise HostNotCapable(
            f"this runtime does not ask systemd for cgroups, so the limits of {slice} would be lost",
            hint="run the engine with --cgroup-manager=cgroupfs",
        )
    return f"{prefix}-{name}" if prefix else name
