"""`:U`: giving a folder and all that is in it to a container's user, as chown -hR does."""

from __future__ import annotations

import os
import stat

from nbcontainers.errors import Error
from nbcontainers.layer.changes import merged

PRECIOUS = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /libx32 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr "
    "/usr/bin /usr/lib /usr/local /usr/sbin /var /var/lib /var/run".split()
)
"""Folders of the host that nobody means."""


def give(path: str, uid: int, gid: int) -> None:
    """Links are not followed, other file systems not touched. Raises Error where an id is unknown in our user namespace."""
    top = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(top).st_mode):
            _give_tree(path, uid, gid)
        else:
            os.chown(f"/proc/self/fd/{top}", uid, gid)
    except OSError as error:
        raise Error(
            f"{path} cannot be given to {uid}:{gid}: {error.strerror}",
            hint="leave U out, or run the container as a user that may own it", errno=error.errno,
        ) from None  # fmt: skip
    finally:
        os.close(top)


def _give_tree(path: str, uid: int, gid: int) -> None:
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        device = os.fstat(top).st_dev
        for change in merged([top]):
            status = change.status
            if status.st_dev != device or (status.st_uid, status.st_gid) == (uid, gid):
                continue
            if change.name:
                os.chown(change.name, uid, gid, dir_fd=change.folder, follow_symlinks=False)
            else:
                os.fchown(change.folder, uid, gid)
    finally:
        os.close(top)
