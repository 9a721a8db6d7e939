"""What a container's volumes need around it, as steps of its recipe: see `monitor.steps`.

All mounts are in the monitor's own mount namespace: they go with it, however it ends.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from nbcontainers.errors import NotFound
from nbcontainers.linux import flock, inroot, mounts, tree
from nbcontainers.monitor.files import Files
from nbcontainers.monitor.steps import mounted_by, unmount
from nbcontainers.runtime.options import Options
from nbcontainers.volume import options, store

Arguments = dict[str, Any]


class Volume:
    """`root`, `run`, `id` of the container, `name`; `mounted`: it has a file system of its own; `copy`: fill it from
    `rootfs` at `target` if it is empty; `anonymous`: it goes with the container."""

    @staticmethod
    def do(args: Arguments) -> None:
        root, name = args["root"], args["name"]
        data = store.data(root, name)
        given = store.read(root, name)["options"]
        with flock.folder_held(store.folder(root, name)):  # one container at a time
            if given:
                _attach(args, given, data)
            beside = data if given else store.folder(root, name)
            if store.is_settled(beside) and not (args["copy"] and store.is_empty(data)):
                return  # as nearly always, and nothing more is imported for it
            from nbcontainers.volume import contents

            contents.settle(data, beside)
            if args["copy"]:
                args["copied"] = contents.fill(data, beside, args["rootfs"], args["target"])

    @staticmethod
    def undo(args: Arguments) -> None:
        if args["mounted"]:
            unmount(store.data(args["root"], args["name"]))

    @staticmethod
    def forget(args: Arguments) -> None:
        """The container goes for good: an anonymous volume goes with it, unless another container names it."""
        root, name = args["root"], args["name"]
        if not args["anonymous"]:
            return
        with store.removing(root) as users:
            alone = all(id == args["id"] for id, _ in users.get(name, ()))
            trash = store.withdraw(root, name) if alone else ""
        if trash:
            tree.remove(trash)

    @staticmethod
    def notes(args: Arguments) -> list[str]:
        """What of the image could not be copied into it."""
        facts = args.get("copied") or {"left_out": 0}
        if not facts["left_out"]:
            return []
        return [
            f"volume {args['name']} lacks {facts['left_out']} of the image's files: {'; '.join(facts['notes'][:5])}"
        ]

    @staticmethod
    def describe(args: Arguments) -> str:
        data = store.data(args["root"], args["name"])
        return f"cp -a -n {args['rootfs']}{args['target']}/. {data}/" if args["copy"] else f"ls -d {data}"


class Part:
    """`folder`, `path`: a file or folder below it, links followed inside of it only; `place`: where to bind it."""

    @staticmethod
    def do(args: Arguments) -> None:
        root = os.open(args["folder"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = inroot.open_path(root, args["path"])
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"there is no {args['path']} in {args['what']}", hint="leave the subpath out, or make it first"
            ) from None
        finally:
            os.close(root)
        try:
            _bind(mounts.open_tree("", recursive=True, dir_fd=found), args["place"], _is_folder(found))
        finally:
            os.close(found)

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["place"])

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"mount --rbind {args['folder']}/{args['path']} {args['place']}"


class ImageFiles:
    """`lower` (top to bottom), `place`: an image's files, read-only."""

    @staticmethod
    def do(args: Arguments) -> None:
        empty = f"{args['place']}.none"  # overlayfs wants two layers where nothing can be written
        for path in (args["place"], empty):
            os.makedirs(path, 0o755, exist_ok=True)
        mounts.overlay([*args["lower"], empty], args["place"], userxattr=args["userxattr"])

    @staticmethod
    def undo(args: Arguments) -> None:
        unmount(args["place"])

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"mount -t overlay overlay -o ro,lowerdir={':'.join(args['lower'])} {args['place']}"


class Owner:
    """`path`, `uid`, `gid`: a folder or file, and all that is in it, is given to the container's user (`:U`)."""

    @staticmethod
    def do(args: Arguments) -> None:
        from nbcontainers.volume import ownership

        ownership.give(args["path"], args["uid"], args["gid"])

    @staticmethod
    def undo(args: Arguments) -> None:
        """What it was before is not known."""

    @staticmethod
    def describe(args: Arguments) -> str:
        return f"chown -hR {args['uid']}:{args['gid']} {args['path']}"


def _attach(args: Arguments, given: options.Options, data: str) -> None:
    """Mount the volume's own file system on its folder."""
    parsed = Options(options.mount_words(given))
    if not options.is_tmpfs(given):
        device = _open_device(args["name"], given)
        mounts.mount_setattr(device, parsed.set, parsed.clear)
        _bind(device, data, folder=True)
    elif (shared := _of_another(args, data)) >= 0:
        _bind(shared, data, folder=True)
    else:
        mounts.mount("tmpfs", data, "tmpfs", parsed.flags, parsed.data)


def _open_device(name: str, given: options.Options) -> int:
    try:
        return mounts.open_tree(given["device"], recursive="rbind" in options.words_of(given))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        raise options.missing_device(name, given["device"]) from None


def _of_another(args: Arguments, data: str) -> int:
    """The tmpfs as a container that runs has it mounted, as a detached tree; -1 if none runs."""
    for id, _ in store.users(args["root"]).get(args["name"], ()):
        if id == args["id"]:
            continue
        shared = mounted_by(Files(args["root"], args["run"], id).read_state("monitor.json"), data)
        if shared >= 0 and os.fstat(shared).st_dev != os.stat(os.path.dirname(data)).st_dev:
            return shared
        if shared >= 0:  # the folder itself: that one has not mounted it yet
            os.close(shared)
    return -1


def _bind(detached: int, place: str, folder: bool) -> None:
    """Attach a detached tree, which is closed, on a place that is made if need be."""
    try:
        os.makedirs(place if folder else os.path.dirname(place), 0o755, exist_ok=True)
        if not folder:
            os.close(os.open(place, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
        mounts.attach(detached, place)
    finally:
        os.close(detached)


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)
