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
import stat
from collections.abc import Sequence
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
    """`lower` (top to bottom), `target`, and optionally `upper`, `work`, `userxattr`, `options`: an overlay mount. An
    `upper` and a `work` that are not there are made, the former as the topmost folder below it."""

    @staticmethod
    def do(args: Arguments) -> None:
        if args.get("upper"):
            _make_upper(args)
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


def _make_upper(args: Arguments) -> None:
    """With the mode of the folder below, and its owner where we may give something away to anybody."""
    os.makedirs(args["work"], exist_ok=True)
    if os.path.isdir(args["upper"]):
        return
    os.makedirs(args["upper"])
    below = os.stat(args["lower"][0])
    if not args.get("userxattr"):
        os.chown(args["upper"], below.st_uid, below.st_gid)
    os.chmod(args["upper"], stat.S_IMODE(below.st_mode))


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
