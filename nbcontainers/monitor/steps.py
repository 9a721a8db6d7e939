"""The steps that surround the runtime, each as data: `{"step": "module:Class", "args": {…}}` in recipe.json.

A step's class has `do`, `undo` and `describe`, all of `args` alone. Both ways are idempotent: `undo` of what was
never done, or died with its mount namespace, is fine. Other nouns bring steps of their own.

`do` may return descriptors, which the monitor keeps open as long as the container runs. A class that also has `serve`
is given them back, with the monitor's event loop, to answer there for the container. One that has `notes` says what
it changed on the host besides; one that has `forget` removes what lasts as long as the container and no longer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypedDict

from nbcontainers.linux import mounts, namespaces, process

Arguments = dict[str, Any]


class Step(TypedDict):
    """One line of a recipe."""

    step: str
    args: Arguments


class Action(Protocol):
    """What the class of a step offers. `do` and `undo` raise OSError or errors.Error."""

    @staticmethod
    def do(args: Arguments) -> Sequence[int] | None: ...
    @staticmethod
    def undo(args: Arguments) -> None: ...
    @staticmethod
    def describe(args: Arguments) -> str: ...


class Overlay:
    """`lower` (top to bottom), `target`, and optionally `upper`, `work`, `userxattr`, `options`: an overlay mount."""

    @staticmethod
    def do(args: Arguments) -> None:
        if "volatile" in args.get("options", ""):
            _forget_volatile(args["work"])
        mounts.overlay(
            args["lower"],
            args["target"],
            args.get("upper", ""),
            args.get("work", ""),
            userxattr=args.get("userxattr", False),
            options=args.get("options", ""),
        )

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["target"])

    @staticmethod
    def describe(args: Arguments) -> str:
        lower = ":".join(args["lower"])
        upper = f",upperdir={args['upper']},workdir={args['work']}" if args.get("upper") else ""
        return f"mount -t overlay overlay -o lowerdir={lower}{upper} {args['target']}"


class Bind:
    """`source`, `target`, and optionally `read_only`, `recursive`: a bind mount of a folder or file."""

    @staticmethod
    def do(args: Arguments) -> None:
        tree = mounts.open_tree(args["source"], recursive=args.get("recursive", False))
        try:
            if args.get("read_only"):
                mounts.mount_setattr(tree, mounts.MOUNT_ATTR_RDONLY, recursive=args.get("recursive", False))
            mounts.attach(tree, args["target"])
        finally:
            os.close(tree)

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["target"])

    @staticmethod
    def describe(args: Arguments) -> str:
        options = "rbind" if args.get("recursive") else "bind"
        return f"mount -o {options}{',ro' if args.get('read_only') else ''} {args['source']} {args['target']}"


class Skeleton:
    """`root`: a folder that gets `folders` (path: mode), `links` (path: target), empty `files` and `copies` of the
    host's small files at the same place; `work` gets a folder for each path in `overlays`. What is there stays."""

    @staticmethod
    def do(args: Arguments) -> None:
        root = args["root"]
        mask = os.umask(0)
        try:
            for path, mode in sorted(args["folders"].items()):
                _unless_there(os.mkdir, f"{root}/{path}", mode)
            for path in args["overlays"]:
                os.makedirs(f"{args['work']}/{path}", exist_ok=True)
            for path, target in args["links"].items():
                _unless_there(os.symlink, target, f"{root}/{path}")
            for path in args["files"]:
                _unless_there(os.mknod, f"{root}/{path}", 0o644)
            for path in args["copies"]:
                _unless_there(_copy, f"/{path}", f"{root}/{path}")
        finally:
            os.umask(mask)

    @staticmethod
    def undo(args: Arguments) -> None:
        """Its folders are the container's own and go with it."""

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"cd {args['root']} && mkdir -p {' '.join(sorted(args['folders']))}"


def _unless_there(make: Callable[..., None], *arguments: Any) -> None:
    try:
        make(*arguments)
    except FileExistsError:
        pass


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as file, open(target, "xb") as copy:
        os.fchmod(copy.fileno(), os.fstat(file.fileno()).st_mode & 0o777)
        copy.write(file.read())


def _forget_volatile(work: str) -> None:
    """overlayfs marks the work folder of a `volatile` mount and refuses the next one: after a crash of the machine
    the upper folder could be incomplete, which for a container's changes we accept (overlayfs.rst, Volatile mount)."""
    mark = f"{work}/work/incompat/volatile"
    try:
        os.unlink(f"{mark}/dirty")
    except FileNotFoundError:
        return
    os.rmdir(mark)
    os.rmdir(f"{work}/work/incompat")


def mounted_by(monitor: dict[str, Any], path: str, *, recursive: bool = False) -> int:
    """What is at `path` as a living monitor (monitor.json) has it mounted, as a detached tree; -1 if it has ended."""
    if not process.alive(monitor.get("pid", 0), monitor.get("start_time")):
        return -1
    try:
        target = process.pidfd_open(monitor["pid"])
    except ProcessLookupError:
        return -1
    try:
        with namespaces.inside_mounts(target):
            return mounts.open_tree(path, recursive=recursive)
    except OSError:
        if process.alive(monitor["pid"], monitor["start_time"]):
            raise
        return -1
    finally:
        os.close(target)


def unmount(target: str) -> None:
    """Detach what is mounted on `target`; nothing there is fine."""
    try:
        mounts.umount(target, mounts.MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
