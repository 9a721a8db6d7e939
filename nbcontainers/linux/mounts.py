"""mount(2) and its descriptor-based successors: open_tree, move_mount, mount_setattr (Linux 5.2 and 5.12)."""

from __future__ import annotations

import ctypes
import errno
import os

from nbcontainers.linux import libc
from nbcontainers.linux.process import AT_EMPTY_PATH

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS = 1, 2, 4, 8, 16
MS_REMOUNT, MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 32, 128, 1024, 2048, 4096, 16384
MS_SILENT, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x8000, 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_NODIRATIME = 0x70, 0x10, 0x20, 0x80
OPEN_TREE_CLONE = 1
AT_RECURSIVE = 0x8000
AT_FDCWD = -100
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 4, 0x40
_FSOPEN_CLOEXEC, _FSMOUNT_CLOEXEC, _FSCONFIG_CMD_CREATE = 1, 1, 6


class _Attributes(ctypes.Structure):
    """struct mount_attr, mount_setattr(2)."""

    _fields_ = [("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64), ("propagation", ctypes.c_uint64),
                ("userns_fd", ctypes.c_uint64)]  # fmt: skip


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError with the target's path."""
    arguments = [os.fsencode(text) if text else None for text in (source or "none", target, kind)]
    libc.check(libc.mount(*arguments, flags, os.fsencode(data) if data else None), f"mount {kind or 'bind'}", target)


def umount(target: str, flags: int = 0) -> None:
    libc.check(libc.umount2(os.fsencode(target), flags), "umount2", target)


def make_slave() -> None:
    """Mounts of the host go on arriving here; ours never leave: mount_namespaces(7)."""
    mount("", "/", flags=MS_SLAVE | MS_REC)


def open_tree(path: str, *, recursive: bool = False, dir_fd: int = AT_FDCWD) -> int:
    """A detached copy of the mount at `path`, as a descriptor that move_mount(2) can attach in any namespace."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    encoded = os.fsencode(path)
    return libc.syscall("open_tree", dir_fd, libc.address(encoded) if encoded else _EMPTY, flags, path=path)


def move_mount(tree: int, target: int, path: str = "") -> None:
    """Attach the detached mount `tree` on the directory or file behind the descriptor `target`."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    libc.syscall("move_mount", tree, _EMPTY, target, _EMPTY, flags, path=path)


def attach(tree: int, path: str) -> None:
    """Attach the detached mount `tree` on a directory or file by its path."""
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        move_mount(tree, target, path)
    finally:
        os.close(target)


def mount_setattr(
    tree: int, set_: int, clear: int = 0, *, recursive: bool = False, propagation: int = 0, userns: int = 0
) -> None:
    """Change the attributes of the mount behind the descriptor `tree`."""
    attributes = _Attributes(set_, clear, propagation, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    libc.syscall("mount_setattr", tree, _EMPTY, flags, ctypes.addressof(attributes), ctypes.sizeof(attributes))


def detached_tmpfs(attributes: int) -> int:
    """An empty tmpfs that is mounted nowhere yet: fsopen(2), fsconfig(2), fsmount(2)."""
    context = libc.syscall("fsopen", _TMPFS, _FSOPEN_CLOEXEC, path="tmpfs")
    try:
        libc.syscall("fsconfig", context, _FSCONFIG_CMD_CREATE, path="tmpfs")
        return libc.syscall("fsmount", context, _FSMOUNT_CLOEXEC, attributes, path="tmpfs")
    finally:
        os.close(context)


def pivot_root(new_root: int) -> None:
    """Make the directory behind `new_root` the root and drop the old one: pivot_root(2), `pivot_root(".", ".")`."""
    old = os.open("/", os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    os.fchdir(new_root)
    libc.syscall("pivot_root", _DOT, _DOT)
    os.fchdir(old)
    os.close(old)
    mount("", ".", flags=MS_SLAVE | MS_REC)  # the detach below must not travel back to the host
    umount(".", MNT_DETACH)
    os.chdir("/")


def overlay(
    lower: list[str], target: str, upper: str = "", work: str = "", *, userxattr: bool = False, options: str = ""
) -> None:
    """Mount overlayfs: `lower` is stacked from top to bottom; without `upper` the result is read-only.

    Paths are escaped as the kernel's Documentation/filesystems/overlayfs.rst asks. Layers of one folder are named
    relative to it, so that 128 of them fit mount(2)'s one page of options.
    """
    base = os.path.commonpath(lower) if len(lower) > 1 else ""
    names = [os.path.relpath(path, base) if len(base) > 1 else path for path in lower]
    data = "lowerdir=" + ":".join(_escape(name, colons=True) for name in names)
    if upper:
        data += f",upperdir={_escape(upper)},workdir={_escape(work)}"
    data += ",userxattr" if userxattr else ""
    data += f",{options}" if options else ""
    if len(os.fsencode(data)) >= os.sysconf("SC_PAGE_SIZE"):
        raise OSError(errno.E2BIG, f"mount overlay: {len(lower)} layers do not fit one page of mount options", target)
    if len(base) <= 1:
        mount("overlay", target, "overlay", data=data)
        return
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(base)
    try:
        mount("overlay", target, "overlay", data=data)
    finally:
        os.fchdir(here)
        os.close(here)


def _escape(path: str, *, colons: bool = False) -> str:
    path = path.replace("\\", "\\\\").replace(",", "\\,")
    return path.replace(":", "\\:") if colons else path


_TEXTS = [ctypes.create_string_buffer(text) for text in (b"", b".", b"tmpfs")]
_EMPTY, _DOT, _TMPFS = map(ctypes.addressof, _TEXTS)
