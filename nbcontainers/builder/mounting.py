"""RUN --mount as steps of the container's recipe (monitor/steps.py): done by its monitor, undone at the end.

Each gives a place outside the container, which config.json then binds to its target. What is shown of a stage, an image
or a context is looked for inside it: a link in there never leads to the host's files.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, closing
from typing import Any

from nbcontainers.errors import BuildError
from nbcontainers.linux import inroot, mounts, tree
from nbcontainers.monitor import recipe
from nbcontainers.monitor.steps import unmount

Arguments = dict[str, Any]


class Show:
    """`folder`, which `steps` mount something at, if there are any, and `source`, a path in it, at `target`."""

    @staticmethod
    def do(args: Arguments) -> None:
        if args["steps"]:
            os.makedirs(args["folder"], exist_ok=True)
            recipe.perform(args["steps"])
        root = os.open(args["folder"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = inroot.open_path(root, args["source"] or "/")
        except FileNotFoundError:
            raise BuildError(
                f"--mount: there is no {args['source']} in {args['name']}", hint="write source=PATH of a file in it"
            ) from None
        finally:
            os.close(root)
        try:
            _bind(found, args["target"])
        finally:
            os.close(found)

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["target"])
        recipe.undo(args["steps"])

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"mount --bind {args['name']}:{args['source'] or '/'} {args['target']}"


def _bind(found: int, target: str) -> None:
    is_folder = stat.S_ISDIR(os.fstat(found).st_mode)
    if is_folder:
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    clone = mounts.open_tree("", dir_fd=found)
    try:
        mounts.attach(clone, target)
    finally:
        os.close(clone)


class Cache:
    """`folder`, which lasts: made with `mode`, `uid` and `gid` when it is not there, with the files in `seed`, if any."""

    @staticmethod
    def do(args: Arguments) -> None:
        folder = args["folder"]
        if os.path.isdir(folder):
            return
        made = f"{folder}.{os.getpid()}.new"
        os.makedirs(made)
        try:
            if args["seed"]:
                _fill(made, args["seed"])
            os.chown(made, args["uid"], args["gid"])
            os.chmod(made, args["mode"])
            os.rename(made, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody was quicker
                raise
        finally:
            if os.path.isdir(made):
                tree.remove(made)

    @staticmethod
    def undo(args: Arguments) -> None:
        """It stays for the next build."""

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"mkdir -p {args['folder']}"


def _fill(folder: str, seed: str) -> None:
    """Copy everything in `seed`, with its owners."""
    from nbcontainers.builder.putting import Putter, Rights, members
    from nbcontainers.builder.selection import Root
    from nbcontainers.layer.unpack import squashes

    with ExitStack() as stack:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        stack.callback(os.umask, os.umask(0))
        source = stack.enter_context(closing(Root(seed)))
        putter = stack.enter_context(closing(Putter(root, folder, Rights(None, "", squashes()))))
        putter.contents(source, members(source), "/")


class Secret:
    """The file (or socket) `path`, in memory: its `mode`, `uid` and `gid`; gone at the end."""

    @staticmethod
    def do(args: Arguments) -> None:
        os.chown(args["path"], args["uid"], args["gid"])
        os.chmod(args["path"], args["mode"])

    @staticmethod
    def undo(args: Arguments) -> None:
        try:
            os.unlink(args["path"])
        except FileNotFoundError:
            return

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"chmod {args['mode']:o} {args['path']}"
