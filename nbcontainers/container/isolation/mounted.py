"""The mounts of a container, as its first process has them: proc_pid_mountinfo(5)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from nbcontainers.table import Row

_OCTAL = re.compile(r"\\([0-7]{3})")
_KERNELS = {
    "proc": "processes and settings of the kernel", "sysfs": "devices and drivers, of the kernel",
    "cgroup": "a cgroup tree", "cgroup2": "the cgroup tree", "mqueue": "POSIX message queues", "devpts": "terminals",
    "tmpfs": "memory", "overlay": "layers of the image, and one that is written to", "devtmpfs": "device nodes",
}  # fmt: skip


def rows(mountinfo: str, config: Mapping[str, Any]) -> list[Row]:
    """Rows: target, type, source, options, read_only, propagation, role (masked, read-only path, or "").

    `config` (config.json) tells which paths were to be masked, and what was asked to be mounted where.
    """
    linux = config.get("linux") or {}
    masked, fixed = set(linux.get("maskedPaths") or ()), set(linux.get("readonlyPaths") or ())
    asked = {mount["destination"]: mount for mount in config.get("mounts") or ()}
    found: dict[str, Row] = {}
    for line in mountinfo.splitlines():
        row = _row(line, masked, fixed)
        wanted = asked.get(row["target"])
        if wanted and row["type"] not in _KERNELS:
            row["source"] = wanted.get("source") or row["source"]
        found[row["target"]] = row  # the later one hides the earlier
    return list(found.values())


def _row(line: str, masked: Collection[str], fixed: Collection[str]) -> Row:
    left, _, right = line.partition(" - ")
    fields, (kind, source, *_) = left.split(" "), [*right.split(" ", 2), ""]
    root, target, options = unescaped(fields[3]), unescaped(fields[4]), fields[5].split(",")
    return {
        "target": target, "type": kind, "source": _source(kind, unescaped(source), root), "options": fields[5],
        "read_only": "ro" in options, "propagation": _propagation(fields[6:]),
        "role": "masked: empty" if target in masked else "read-only path" if target in fixed else "",
    }  # fmt: skip


def _source(kind: str, source: str, root: str) -> str:
    """In words for the kernel's own file systems; for a bind mount what of the file system it shows."""
    if kind in _KERNELS:
        return _KERNELS[kind] if root == "/" else f"{root} of {kind}"
    return f"{root} of {source}" if root != "/" else source


def _propagation(optional: list[str]) -> str:
    """mount_namespaces(7): what is mounted on one side shows on the other, or not."""
    kinds = [field.partition(":")[0] for field in optional]
    shown = {"shared": "shared", "master": "slave", "unbindable": "unbindable"}
    return ", ".join(shown[kind] for kind in kinds if kind in shown) or "private"


def unescaped(text: str) -> str:
    """Blanks, tabs, line ends, # and backslashes are octal there."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text) if "\\" in text else text


def asked(config: Mapping[str, Any]) -> list[Row]:
    """The same of one that does not run."""
    found = []
    for mount in config.get("mounts") or ():
        options = list(mount.get("options") or ())
        ways = [word.removeprefix("r") for word in options if word.removeprefix("r") in ("shared", "slave", "private")]
        found.append({
            "target": mount["destination"], "type": mount.get("type") or "bind", "source": mount.get("source", ""),
            "options": ",".join(options), "read_only": "ro" in options, "propagation": ways[-1] if ways else "private",
            "role": "",
        })  # fmt: skip
    return found
