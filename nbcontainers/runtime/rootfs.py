"""The container's file system, built by init in its own mount namespace (config.md, Mounts; config-linux.md, Devices).

Every destination is resolved inside the root and mounted through a descriptor, so no symbolic link of an image or
of a shared volume can lead a mount outside (CVE-2019-16884 and its many successors).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import inroot, libc, mounts
from nbcontainers.linux.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY
from nbcontainers.runtime.options import PROPAGATION, Options
from nbcontainers.runtime.plan import Plan

_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_ANY_FOLDER = "/dev"
"""One that every host has, and of which `begin` has opened what it needs."""
_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def build(plan: Plan) -> int:
    """Mount everything below the root and return the root's descriptor, ready for `enter`."""
    rootfs = plan.rootfs
    mounts.mount("", "/", flags=mounts.MS_SLAVE | mounts.MS_REC)
    plan.open_sources()
    mounts.mount(rootfs, rootfs, flags=mounts.MS_BIND | mounts.MS_REC)
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, mount in enumerate(plan.config.get("mounts") or ()):
        _attach(root, mount, index, plan)
    _make_devices(root, plan)
    return root


def begin(plan: Plan) -> None:
    """What needs no image, in a small root of its own: `made` with the kernel's file systems, `root`, and a /proc to
    work with. Nothing of the host is left in this mount namespace then."""
    mounts.mount("", "/", flags=mounts.MS_SLAVE | mounts.MS_REC)
    plan.open_sources()
    mounts.mount("tmpfs", _ANY_FOLDER, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=64k")
    top = os.open(_ANY_FOLDER, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in ("made", "root", "proc"):
        os.mkdir(name, dir_fd=top)
    made = os.open("made", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
    mounts.mount("proc", f"{_ANY_FOLDER}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for index, mount in enumerate(plan.config.get("mounts") or ()):
        _attach(made, mount, index, plan)
    _make_devices(made, plan)
    hide(made, plan.linux)
    os.close(made)
    mounts.pivot_root(top)
    os.close(top)


def complete(plan: Plan, tree: int) -> int:
    """`build` after `begin`, with the container's root as the detached mount `tree`."""
    place = os.open("/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.move_mount(tree, place, plan.rootfs)
    os.close(place)
    os.close(tree)
    root = os.open("/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in os.listdir("/made"):
        made = os.open(f"/made/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        target = _target(root, "/dev") if name == "dev" else _kernel_directory(root, f"/{name}")
        mounts.move_mount(made, target, f"/{name}")
        os.close(made)
        os.close(target)
    for index, mount in enumerate(plan.config.get("mounts") or ()):
        _attach(root, mount, index, plan)
    return root


def hide(root: int, linux: Mapping[str, Any]) -> None:
    """Mask and write-protect the paths the configuration names; what the root does not have is passed over."""
    for path in linux.get("readonlyPaths") or ():
        _protect(root, path)
    masked = linux.get("maskedPaths") or ()
    empty = _empty_directory() if masked else -1
    attached = False
    for path in masked:
        attached = _mask(root, path, empty, attached)
    if empty >= 0:
        os.close(empty)


def enter(root: int, *, read_only: bool, propagation: str) -> None:
    """Make `root` the root directory of this mount namespace, for good."""
    mounts.pivot_root(root)
    if propagation:
        if propagation not in PROPAGATION:
            raise CreateFailed(f"rootfsPropagation {propagation!r} is unknown", stage="rootfs", exit_code=125)
        mounts.mount("", "/", flags=PROPAGATION[propagation])
    if read_only:
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.mount_setattr(top, mounts.MOUNT_ATTR_RDONLY)
        os.close(top)


def through(descriptor: int) -> str:
    """The path by which mount(2) reaches a descriptor."""
    return f"/proc/self/fd/{descriptor}"


def _attach(root: int, mount: Mapping[str, Any], index: int, plan: Plan) -> None:
    destination, kind = mount["destination"], mount.get("type") or ""
    options = plan.options[index]
    tree = plan.trees.get(index)
    if tree is not None:
        target = _target(root, destination, directory=plan.directories[index])
        _attach_tree(tree, target, destination, options)
    else:
        if kind == "tmpfs":
            _keep_mode(root, destination, options)
        target = _kernel_directory(root, destination) if kind in ("proc", "sysfs") else _target(root, destination)
        if kind == "cgroup":
            _mount_cgroups(root, destination, target, options, plan)
        else:
            _mount_new(root, mount, kind, target, options)
    os.close(target)
    if options.propagation:
        mounted = inroot.open_path(root, destination)
        mounts.mount("", through(mounted), flags=options.propagation)
        os.close(mounted)


def _target(root: int, destination: str, *, directory: bool = True) -> int:
    try:
        return inroot.make_directory(root, destination) if directory else inroot.make_file(root, destination)
    except OSError as error:
        raise libc.failure(error.errno or 0, f"mount point {destination}", destination) from None


def _kernel_directory(root: int, destination: str) -> int:
    """/proc and /sys are never reached through a link: a fake procfs would swallow our writes (CVE-2019-19921)."""
    os.close(inroot.make_directory(root, destination))
    return inroot.openat2(
        root, destination, os.O_PATH | os.O_DIRECTORY, inroot.RESOLVE_IN_ROOT | inroot.RESOLVE_NO_SYMLINKS
    )


def _attach_tree(tree: int, target: int, destination: str, options: Options) -> None:
    if options.set or options.clear:
        mounts.mount_setattr(tree, options.set, options.clear)
    if options.set_all or options.clear_all:
        mounts.mount_setattr(tree, options.set_all, options.clear_all, recursive=True)
    mounts.move_mount(tree, target, destination)
    os.close(tree)


def _mount_new(root: int, mount: Mapping[str, Any], kind: str, target: int, options: Options) -> None:
    """A fresh instance of a file system. tmpfs made read-only is filled first (`tmpcopyup`), then closed."""
    source, destination = mount.get("source") or kind, mount["destination"]
    late = options.flags & MS_RDONLY if options.copy_up else 0
    mounts.mount(source, through(target), kind, options.flags & ~late, options.data)
    if options.copy_up:
        mounted = inroot.open_path(root, destination, os.O_DIRECTORY)
        _copy_up(target, mounted)
        if late:
            mounts.mount_setattr(mounted, mounts.MOUNT_ATTR_RDONLY)
        os.close(mounted)


def _keep_mode(root: int, destination: str, options: Options) -> None:
    """A tmpfs over a directory of the image has that directory's mode, as with runc; a new one has 1777."""
    try:
        below = inroot.open_path(root, destination, os.O_DIRECTORY)
    except OSError:  # not there, or not a directory: making the mount point will tell
        return
    if "mode=" not in options.data:
        options.data = f"{options.data},mode={stat.S_IMODE(os.fstat(below).st_mode):o}".lstrip(",")
    os.close(below)


def _copy_up(below: int, above: int) -> None:
    """Copy what the image has at a tmpfs' place into it. `below` still shows the covered directory."""
    source = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below)
    target = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=above)
    try:
        for name in os.listdir(source):
            _copy_entry(source, target, name)
    finally:
        os.close(source)
        os.close(target)


def _copy_entry(source: int, target: int, name: str) -> None:
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif stat.S_ISDIR(status.st_mode):
        os.mkdir(name, dir_fd=target)
        lower = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        upper = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
        _copy_up(lower, upper)
        os.close(lower)
        os.close(upper)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source, target, name)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)


def _copy_file(source: int, target: int, name: str) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        while os.sendfile(writer, reader, None, 1 << 24):
            pass
    finally:
        os.close(reader)
        os.close(writer)


def _mount_cgroups(root: int, destination: str, target: int, options: Options, plan: Plan) -> None:
    """The container's own view of its cgroups: cgroup_namespaces(7).

    Version 1 is a tmpfs with one hierarchy a folder. Where the kernel refuses (rootless, or no cgroup namespace of
    the container's own), the folder stays empty rather than showing the host's.
    """
    if plan.hierarchies and not plan.hierarchies[0][0]:
        _, kind, data = plan.hierarchies[0]
        if _mount_allowed(target, kind, options.flags, data):
            return
    mounts.mount("tmpfs", through(target), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k")
    top = inroot.open_path(root, destination, os.O_DIRECTORY)
    named = [one for one in plan.hierarchies if one[0]]
    if plan.own_cgroups:
        for name, kind, data in named:
            if not _show(top, name, lambda folder: _mount_allowed(folder, kind, options.flags, data)):  # noqa: B023
                break
    else:
        for name, path in _joined([name for name, _, _ in named]):
            _show(top, name, lambda folder: _bind_cgroup(folder, path, options))  # noqa: B023
    if options.flags & MS_RDONLY:
        mounts.mount_setattr(top, mounts.MOUNT_ATTR_RDONLY)
    os.close(top)


def _show(top: int, name: str, attach: Callable[[int], bool]) -> bool:
    """One hierarchy in a folder of its name, if it can be attached there."""
    os.mkdir(name, 0o755, dir_fd=top)
    folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    shown = attach(folder)
    os.close(folder)
    if not shown:
        os.rmdir(name, dir_fd=top)
    return shown


def _joined(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """(hierarchy, folder of the host) of each cgroup this process is in, which has just joined those with limits:
    proc_pid_cgroup(5)."""
    with open("/proc/self/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in lines:
        name = controllers.removeprefix("name=") or "unified"
        if name in names:
            yield name, f"/sys/fs/cgroup/{name}{path}"


def _bind_cgroup(folder: int, source: str, options: Options) -> bool:
    """Without a cgroup namespace a new mount shows all cgroups of the host, so the container's own is bound, as with runc.
    Where it has none the host's root tells what is in force, to be read only."""
    try:
        tree = mounts.open_tree(source)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EPERM, errno.EINVAL):  # the host mounts another part of it
            return False
        raise
    mounts.mount_setattr(tree, options.set | (mounts.MOUNT_ATTR_RDONLY if source.endswith("/") else 0))
    mounts.move_mount(tree, folder, source)
    os.close(tree)
    return True


def _mount_allowed(folder: int, kind: str, flags: int, data: str) -> bool:
    try:
        mounts.mount(kind, through(folder), kind, flags, data)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EBUSY, errno.EINVAL):  # not ours to mount here
            return False
        raise
    return True


def _make_devices(root: int, plan: Plan) -> None:
    if not plan.devices:
        return
    old = os.umask(0)
    dev = inroot.make_directory(root, "/dev")
    for device in plan.devices:
        if device["path"] in plan.nodes:
            _bind_device(root, device["path"], plan.nodes[device["path"]])
        else:
            _make_node(root, dev, device)
    for name, link in _LINKS.items():
        _link(dev, name, link)
    _link(dev, "ptmx", "pts/ptmx")
    os.close(dev)
    os.umask(old)


def _bind_device(root: int, path: str, tree: int) -> None:
    target = inroot.make_file(root, path)
    mounts.move_mount(tree, target, path)
    os.close(target)
    os.close(tree)


def _make_node(root: int, dev: int, device: Mapping[str, Any]) -> None:
    folder, name = device["path"].rsplit("/", 1)
    parent = os.dup(dev) if folder == "/dev" else inroot.make_directory(root, folder or "/")
    mode = _TYPES[device["type"]] | device.get("fileMode", 0o666)
    number = os.makedev(device.get("major", 0), device.get("minor", 0))
    try:
        os.mknod(name, mode, number, dir_fd=parent)
    except FileExistsError:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if (stat.S_IFMT(status.st_mode), status.st_rdev) != (stat.S_IFMT(mode), number):
            raise libc.failure(errno.EEXIST, "mknod", device["path"]) from None
    else:
        if device.get("uid") or device.get("gid"):
            os.chown(name, device.get("uid", 0), device.get("gid", 0), dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def _link(dev: int, name: str, target: str) -> None:
    try:
        os.symlink(target, name, dir_fd=dev)
    except FileExistsError:  # the image's own /dev has it
        pass


def _protect(root: int, path: str) -> None:
    try:
        target = inroot.open_path(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    tree = mounts.open_tree("", recursive=True, dir_fd=target)
    mounts.mount_setattr(tree, mounts.MOUNT_ATTR_RDONLY, recursive=True)
    mounts.move_mount(tree, target, path)
    os.close(tree)
    os.close(target)


def _empty_directory() -> int:
    """One empty read-only tmpfs, detached, that all masked directories share."""
    return mounts.detached_tmpfs(
        mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
    )


def _mask(root: int, path: str, empty: int, attached: bool) -> bool:
    """Cover one path; returns whether `empty` is attached somewhere, for before Linux 6.15 only then it can be cloned."""
    try:
        target = inroot.open_path(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return attached
    directory = stat.S_ISDIR(os.fstat(target).st_mode)
    if not directory:
        tree = _null_device(root)
    else:
        tree = mounts.open_tree("", dir_fd=empty) if attached else os.dup(empty)
    mounts.move_mount(tree, target, path)
    os.close(tree)
    os.close(target)
    return attached or directory


def _null_device(root: int) -> int:
    """The container's /dev/null, checked to be it (CVE-2025-31133), as a read-only tree of its own."""
    null = inroot.openat2(root, "/dev/null", os.O_PATH, inroot.RESOLVE_IN_ROOT | inroot.RESOLVE_NO_SYMLINKS)
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        raise CreateFailed("/dev/null of the container is not the null device", stage="masked paths", exit_code=125)
    tree = mounts.open_tree("", dir_fd=null)
    os.close(null)
    mounts.mount_setattr(tree, mounts.MOUNT_ATTR_RDONLY)
    return tree
