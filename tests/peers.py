"""The programs we compare with (crun, runc, podman, …), kept from damaging the host they run on.

Debian's crun 1.8 chowns the host's /dev/null when there is a user namespace, and others leak mounts
(../shared/reference/runtime.md 5.3): so each runs in a mount namespace with a /dev of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PRIVATE_DEV = r"""
set -e
umask 0
dev=$(mktemp -d /tmp/peer-dev.XXXXXX)
mount -t tmpfs -o mode=755,nosuid tmpfs "$dev"
mknod -m 666 "$dev/null" c 1 3; mknod -m 666 "$dev/zero" c 1 5; mknod -m 666 "$dev/full" c 1 7
mknod -m 666 "$dev/random" c 1 8; mknod -m 666 "$dev/urandom" c 1 9; mknod -m 666 "$dev/tty" c 5 0
mkdir "$dev/pts" "$dev/shm" "$dev/mqueue"
mount --rbind /dev/pts "$dev/pts"; ln -s pts/ptmx "$dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$dev/shm"  # podman leaves a lock there
for ours in /dev/shm/nbc-*; do
    if [ -d "$ours" ]; then mkdir "$dev/shm/${ours##*/}"; mount --rbind "$ours" "$dev/shm/${ours##*/}"; fi
done
ln -s /proc/self/fd "$dev/fd"; ln -s fd/0 "$dev/stdin"; ln -s fd/1 "$dev/stdout"; ln -s fd/2 "$dev/stderr"
mount --move "$dev" /dev
rmdir "$dev"
umask 022
"""

HUGETLB = r"""
if [ -d /sys/fs/cgroup/memory ] && [ ! -d /sys/fs/cgroup/hugetlb ] && grep -q '^hugetlb' /proc/cgroups; then
    top=$(mktemp -d /tmp/peer-cgroup.XXXXXX)
    mount -t tmpfs -o mode=755 tmpfs "$top"
    for old in /sys/fs/cgroup/*; do
        new="$top/${old##*/}"
        if [ -L "$old" ]; then cp -P "$old" "$new"; else mkdir "$new"; mount --rbind "$old" "$new"; fi
    done
    mkdir "$top/hugetlb"
    mount -t cgroup -o hugetlb cgroup "$top/hugetlb"
    mkdir "$top/hugetlb/peer-probe"; rmdir "$top/hugetlb/peer-probe"
    mount --move "$top" /sys/fs/cgroup
    rmdir "$top"
fi
"""
"""crun 1.8 refuses a hybrid host until its last v1 controller, hugetlb, is mounted; done where only it can see that."""

WITH_HUGETLB = r"""
status=0
"$@" || status=$?
find /sys/fs/cgroup/hugetlb -mindepth 1 -depth -type d -exec rmdir {} \; || :
tries=0
until grep -qE "^hugetlb\s+[0-9]+\s+1\s" /proc/cgroups || [ $((tries += 1)) -gt 100 ]; do sleep 0.02; done
exit $status
"""
"""What is left in a hierarchy keeps it alive after its last mount, so the peers' empty folders go at the end; a folder is left
until the kernel has let go of it."""

PARENTS = (
    "libpod_parent/conmon",
    "libpod_parent",
    "docker/buildkit",
    "docker",
    "buildah",
)  # that podman and Docker never remove


def isolated(*command: str, hugetlb: bool = False) -> list[str]:
    """The command line that runs `command` in a private mount namespace with a /dev of its own (root only)."""
    script = PRIVATE_DEV + (HUGETLB + WITH_HUGETLB if hugetlb else 'exec "$@"')
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *command]


def program(name: str) -> str:
    """The path of a peer; without it the test is skipped, and in CI it fails."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and CI compares with it")
    pytest.skip(f"{name} is not installed; `python3 tests` installs it when it runs as root")


def run(
    *command: str, timeout: float = 60, env: Mapping[str, str] | None = None, input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A peer's command, isolated, to its end; the exit status is the caller's to judge."""
    try:
        return subprocess.run(
            isolated(*command), capture_output=True, text=True, timeout=timeout, env=env, input=input, check=False
        )
    finally:
        remove_parents()


def remove_parents() -> None:
    """The empty cgroups that peers leave in every hierarchy."""
    for parent in PARENTS:
        for folder in [*Path("/sys/fs/cgroup").glob(f"*/{parent}"), Path("/sys/fs/cgroup", parent)]:
            with contextlib.suppress(OSError):  # in use by another container of theirs
                folder.rmdir()


def busybox_rootfs(rootfs: Path) -> Path:
    """A root file system of Debian's static busybox with a link for every applet."""
    busybox = program("busybox")
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "root"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, rootfs / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in applets:
        if name != "busybox" and not (rootfs / "bin" / name).is_symlink():
            (rootfs / "bin" / name).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (rootfs / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    return rootfs


def write_bundle(bundle: Path, config: Mapping[str, Any]) -> Path:
    """An OCI bundle with a busybox root file system."""
    busybox_rootfs(bundle / "rootfs")
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def busybox_archive(path: Path) -> Path:
    """A plain tar of a busybox root file system, for `podman import`, `docker import` and our `image import`."""
    rootfs = busybox_rootfs(path.with_suffix(".rootfs"))
    subprocess.run(["tar", "--numeric-owner", "--owner=0", "--group=0", "-C", rootfs, "-cf", path, "."], check=True)
    shutil.rmtree(rootfs)
    return path


def podman(storage: Path, runtime: str, arguments: Sequence[str]) -> list[str]:
    """Podman's command line with a storage of its own and without the rlimits that this host forbids."""
    where = ["--root", f"{storage}/root", "--runroot", f"{storage}/run", "--tmpdir", f"{storage}/tmp"]
    return [program("podman"), *where, "--cgroup-manager", "cgroupfs", "--runtime", runtime, *arguments]


PODMAN_RUN = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none")
"""Options that `podman run` needs on a host without CAP_SYS_RESOURCE."""
