"""The steps that surround the runtime, each as data: `{"step": "module:Class", "args": {…}}` in recipe.json.

A step's class has `do`, `undo` and `describe`, all of `args` alone. Both ways are idempotent: `undo` of what was
never done, or died with its mount namespace, is fine. Other nouns bring steps of their own.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Protocol, TypedDict

from nbcontainers.linux import mounts

Arguments = dict[str, Any]


class Step(TypedDict):
    """One line of a recipe."""

    step: str
    args: Arguments


class Action(Protocol):
    """What the class of a step offers. `do` and `undo` raise OSError or errors.Error."""

    @staticmethod
    def do(args: Arguments) -> None: ...
    @staticmethod
    def undo(args: Arguments) -> None: ...
    @staticmethod
    def describe(args: Arguments) -> str: ...


class Overlay:
    """`lower` (top to bottom), `target`, and optionally `upper`, `work`, `userxattr`, `options`: an overlay mount."""

    @staticmethod
    def do(args: Arguments) -> None:
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
            target = os.open(args["target"], os.O_PATH | os.O_CLOEXEC)
            try:
                mounts.move_mount(tree, target, args["target"])
            finally:
                os.close(target)
        finally:
            os.close(tree)

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["target"])

    @staticmethod
    def describe(args: Arguments) -> str:
        options = "rbind" if args.get("recursive") else "bind"
        return f"mount -o {options}{',ro' if args.get('read_only') else ''} {args['source']} {args['target']}"


class Tmpfs:
    """`target`, and optionally `options`: a tmpfs mount."""

    @staticmethod
    def do(args: Arguments) -> None:
        mounts.mount("tmpfs", args["target"], "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, args.get("options", ""))

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["target"])

    @staticmethod
    def describe(args: Arguments) -> str:
        options = f",{args['options']}" if args.get("options") else ""
        return f"mount -t tmpfs -o nosuid,nodev{options} tmpfs {args['target']}"


def unmount(target: str) -> None:
    """Detach what is mounted on `target`; nothing there is fine."""
    try:
        mounts.umount(target, mounts.MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
