"""A cgroup an ordinary user may write to: the launcher inside a delegated scope of the user's systemd.

systemd-run(1) with --scope executes the program in its own place, so the launcher keeps its pid and descriptors.
See systemd.resource-control(5), Delegate=.
"""

from __future__ import annotations

import os
import shutil

_COMMAND = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"]
works = True
"""False after a launcher that was started this way died without an answer."""


def prefix() -> list[str]:
    """The words to put before the launcher's command; none where there is no user manager or no need of it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    manager = os.path.exists(f"{runtime}/systemd/private") if runtime else False
    if not works or not manager or not os.path.exists("/sys/fs/cgroup/cgroup.controllers") or _delegated():
        return []
    return _COMMAND if shutil.which(_COMMAND[0]) else []


def _delegated() -> bool:
    """Whether we already sit in a cgroup that is ours to divide."""
    with open("/proc/self/cgroup") as file:
        path = file.read().rpartition("0::")[2].partition("\n")[0]
    return os.access(f"/sys/fs/cgroup{path}/cgroup.subtree_control", os.W_OK)
