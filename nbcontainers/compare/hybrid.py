"""A mount namespace of other programs, in which a host with cgroups of both versions looks like one of version 1 alone.

crun 1.8 refuses a host whose version 2 tree has a controller besides version 1 hierarchies. A controller leaves that tree
while version 1 has it mounted, so each that is left there is mounted where only crun sees it, and goes back afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from nbcontainers.cgroups.layout import layout
from nbcontainers.compare import programs

_MOUNT = r"""
top=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$top" || exit
for old in /sys/fs/cgroup/*; do
    new="$top/${old##*/}"
    if [ -L "$old" ]; then cp -P "$old" "$new"; else mkdir "$new" && mount --rbind "$old" "$new" || exit; fi
done
for name; do mkdir "$top/$name" && mount -t cgroup -o "$name" cgroup "$top/$name" || exit; done
mount --move "$top" /sys/fs/cgroup || exit
echo ready
cat >/dev/null
for name; do
    find "/sys/fs/cgroup/$name" -mindepth 1 -depth -type d -exec rmdir {} \;
    tries=0
    until grep -qE "^$name\s+[0-9]+\s+1\s" /proc/cgroups || [ $((tries += 1)) -gt 100 ]; do sleep 0.02; done
done
"""
"""What is left in a hierarchy would keep it alive after its last mount; a removed folder is until the kernel has let go of it."""


def entered(folder: Path) -> AbstractContextManager[list[str]]:
    """What comes before a command that is to run in it; `folder` is an empty one of ours. Raises HostNotCapable."""
    words = [*programs.PRIVATE, "sh", "-c", _MOUNT, "sh", str(folder), *_left()]
    return programs.held(words, "cgroups of version 1 alone cannot be had")


def needed() -> bool:
    """Whether this host is such a one."""
    return bool(layout().v1) and bool(_left())


def _left() -> Sequence[str]:
    """The controllers to mount: those of version 2, and those of a hierarchy that was unmounted with something left in it."""
    try:
        unified = Path("/sys/fs/cgroup/unified/cgroup.controllers").read_text().split()
    except OSError:
        return ()
    lines = (line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:])
    lost = [name for name, hierarchy, _, _ in lines if hierarchy != "0" and name not in layout().v1]
    return sorted({*unified, *lost})
