"""What has to be there before a container's mounts are: volumes, folders of the host, and the steps of its recipe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nbcontainers.container import store
from nbcontainers.container.mounts import Mounted
from nbcontainers.container.options import RunOptions, bad, texts
from nbcontainers.container.users import Identity
from nbcontainers.engine import Engine
from nbcontainers.launcher import client
from nbcontainers.monitor.steps import Step

_STEPS = "nbcontainers.volume.steps"


def of_others(engine: Engine, options: RunOptions) -> list[Mounted]:
    """--volumes-from CONTAINER[:ro]: the volumes and folders that other containers have. Raises NotFound."""
    found = []
    for text in texts("volumes_from", options.get("volumes_from")):
        name, _, words = str(text).partition(":")
        if words and not set(words.split(",")) <= {"ro", "rw", "z", "Z"}:
            raise bad("volumes_from", f"{words!r} is no option of it; write {name} or {name}:ro")
        record = store.read(engine, store.find(engine, name), "container.json")
        found += [_of_record(engine, mount, read_only="ro" in words.split(","))
                  for mount in record.get("mounts") or () if mount["type"] != "tmpfs"]  # fmt: skip
    return found


def _of_record(engine: Engine, mount: dict[str, Any], *, read_only: bool) -> Mounted:
    volume = mount["name"] if mount["type"] == "volume" else ""
    words = mount["options"] + (["ro", "rro"] if read_only and mount["rw"] else [])
    source = f"{engine.root}/volumes/{volume}/_data" if volume else mount["source"]
    document = {"destination": mount["destination"], "type": "bind", "source": source, "options": words}
    image = mount["name"] if mount["type"] == "image" else ""
    return Mounted(document, volume, image=image, subpath=mount["subpath"])


def placed(engine: Engine, id: str, asked: Sequence[Mounted]) -> list[Mounted]:
    """With a place in the container's own folder for each source that is not on the host as it stands."""
    found = []
    for number, one in enumerate(asked):
        if one.image or one.subpath:
            place = f"{store.folder(engine, id)}/mounts/{number}"
            one = one._replace(document={**one.document, "source": place})
        found.append(one)
    return found


def steps(engine: Engine, id: str, asked: Sequence[Mounted], identity: Identity) -> list[Step]:
    """The steps that fill, mount and give away what the mounts start from; needs the volumes to be there."""
    found: list[Step] = []
    if any(one.volume for one in asked):
        client.preload(_STEPS, "nbcontainers.volume.contents")
    for one in asked:
        if one.volume:
            found += _of_volume(engine, id, one)
        elif one.image:
            found += _of_image(engine, one)
        if one.chown:
            args = {"path": one.document["source"], "uid": identity.uid, "gid": identity.gid}
            found.append({"step": f"{_STEPS}:Owner", "args": args})
    return found


def _of_volume(engine: Engine, id: str, one: Mounted) -> list[Step]:
    from nbcontainers.volume import store as volumes

    root = str(engine.root)
    args = {
        "root": root, "run": str(engine.run), "id": id, "name": one.volume, "copy": one.copy, "target": one.target,
        "rootfs": f"{store.folder(engine, id)}/rootfs", "anonymous": one.anonymous,
        "mounted": bool(volumes.read(root, one.volume)["options"]),
    }  # fmt: skip
    found: list[Step] = [{"step": f"{_STEPS}:Volume", "args": args}]
    return found + _part(one, volumes.data(root, one.volume), f"volume {one.volume}")


def _of_image(engine: Engine, one: Mounted) -> list[Step]:
    from nbcontainers.errors import InvalidArgument
    from nbcontainers.image import rootfs
    from nbcontainers.image import store as images

    image = images.resolve(engine, one.image)
    if image.base:
        message = f"--mount: {one.image} is no image of layers alone, it shows this machine's folders"
        raise InvalidArgument(message, hint="mount a folder of this machine with type=bind")
    place = one.document["source"] + (".image" if one.subpath else "")
    args = {"lower": rootfs.layers(engine, image), "place": place, "userxattr": engine.rootless}
    found: list[Step] = [{"step": f"{_STEPS}:ImageFiles", "args": args}]
    return found + _part(one, place, f"image {one.image}")


def _part(one: Mounted, folder: str, what: str) -> list[Step]:
    if not one.subpath:
        return []
    args = {"folder": folder, "path": one.subpath, "place": one.document["source"], "what": what}
    return [{"step": f"{_STEPS}:Part", "args": args}]


@contextmanager
def prepared(engine: Engine, asked: Sequence[Mounted]) -> Iterator[None]:
    """Around the writing of the container's record: its volumes and folders are there, and nobody removes a volume
    before the record names it. What was made for it goes again if the block raises."""
    if not any(one.volume or one.made for one in asked):
        yield
        return
    from nbcontainers.volume import store as volumes

    root, made, folders = str(engine.root), [], []
    try:
        with volumes.naming(root):
            made += [one.volume for one in asked if one.volume and _make_volume(root, one)]
            for one in asked:
                folders += _make_folder(one.made) if one.made else []
            yield
    except BaseException:
        _take_back(root, made, folders)
        raise


def _make_volume(root: str, one: Mounted) -> bool:
    """Make a volume unless it is there; whether it was made."""
    from nbcontainers.errors import InvalidArgument
    from nbcontainers.volume import options, store

    given = options.check(options.pairs("--mount volume-opt", one.opt))
    labels = options.pairs("--label", one.label)
    if store.create(root, one.volume, labels=labels, options=given, anonymous=one.anonymous):
        return True
    if given and store.read(root, one.volume)["options"] != given:
        hint = f"leave volume-opt out, or type volume rm {one.volume} first"
        raise InvalidArgument(f"there is a volume {one.volume!r} already, with other options", hint=hint)
    return False


def _make_folder(path: str) -> list[str]:
    """As Docker does for -v; returns the folders that were missing, the innermost first."""
    missing = []
    while not os.path.isdir(path) and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        os.mkdir(one, 0o755)
    return missing


def _take_back(root: str, made: Sequence[str], folders: Sequence[str]) -> None:
    from nbcontainers.linux import tree
    from nbcontainers.volume import store

    for folder in folders:
        try:
            os.rmdir(folder)
        except OSError:  # somebody uses it already
            break
    if made:
        with store.removing(root) as users:
            gone = [store.withdraw(root, name) for name in made if name not in users]
        for trash in filter(None, gone):
            tree.remove(trash)
