"""A mount namespace of other programs, in which a host with cgroups of both versions looks like one of version 1 alone.

crun 1.8 refuses a host whose version 2 tree has a controller besides version 1 hierarchies. A controller leaves that tree
while version 1 has it mounted, so each that is left there is mounted where only crun sees it, and goes back afterwards.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nbcontainers.cgroups.layout import layout
from nbcontainers.errors import HostNotCapable

_PATIENCE_S = 10.0
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
for name; do find "/sys/fs/cgroup/$name" -mindepth 1 -depth -type d -exec rmdir {} \; ; done
"""
"""What is left in a hierarchy would keep it alive after its last mount."""


@contextmanager
def entered(folder: Path) -> Iterator[list[str]]:
    """What comes before a command that is to run in it; `folder` is an empty one of ours. Raises HostNotCapable."""
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT, "sh", str(folder), *_left()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          process_group=0) as holder:  # fmt: skip
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                raise HostNotCapable(f"cgroups of version 1 alone cannot be had: {_complaint(holder)}")
            yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        finally:
            _end(holder)


def needed() -> bool:
    """Whether this host is such a one."""
    return bool(layout().v1) and bool(_left())


def _left() -> Sequence[str]:
    """The controllers of version 2 on a host that has version 1 too."""
    try:
        return Path("/sys/fs/cgroup/unified/cgroup.controllers").read_text().split()
    except OSError:
        return ()


def _complaint(holder: subprocess.Popen[bytes]) -> str:
    assert holder.stderr is not None
    said = holder.stderr.read().decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else "mount failed"


def _end(holder: subprocess.Popen[bytes]) -> None:
    """Its end of input lets it tidy up."""
    assert holder.stdin is not None
    holder.stdin.close()
    try:
        holder.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        holder.kill()
