"""`--output`: what a build leaves besides the image in the store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.dockerfile import value
from nbcontainers.errors import InvalidArgument
from nbcontainers.image.image import Image

FORMS = {"local": "", "tar": "", "oci": "oci-archive", "docker": "docker-archive", "image": "", "registry": ""}
_KEYS = {"oci": ("dest", "name", "tar"), "docker": ("dest", "name"), "image": ("name", "push"), "registry": ("name",)}
_HINT = "write -o FOLDER, -o type=local|tar|oci|docker,dest=PATH or -o type=image,name=NAME,push=true"


@dataclass(frozen=True)
class Output:
    """`kind`: local (a folder of the files), tar (of the files), oci, docker (archives), image (the store alone).

    `name`: one more name of the image, of which it is sent to its registry if `push`; `is_folder`: an OCI layout that is no archive.
    """

    kind: str
    path: str = ""
    name: str = ""
    push: bool = False
    is_folder: bool = False


def parse(text: str) -> Output:
    """`type=tar,dest=FILE`, FOLDER, or `-` for a tar on the output. InvalidArgument for anything else.

    Keys by docs.docker.com/build/exporters; `registry` is an image that is pushed.
    """
    if text == "-":
        return Output("tar", "-")
    if "=" not in text:
        return Output("local", text)
    given = dict(part.partition("=")[::2] for part in text.split(","))
    kind = given.pop("type", "")
    if kind not in FORMS or given.keys() - _KEYS.get(kind, ("dest",)):
        unknown = ", ".join(given.keys() - _KEYS.get(kind, ("dest",))) if kind in FORMS else f"type={kind}"
        raise InvalidArgument(f"--output {text}: {unknown} is not known", hint=_HINT)
    name, path = given.get("name", ""), given.get("dest", "")
    push = kind == "registry" or _is_true(text, given, "push", "false")
    if not path and kind in ("local", "tar", "oci"):
        raise InvalidArgument(f"--output {text} needs a dest", hint=_HINT)
    if push and not name:
        raise InvalidArgument(f"--output {text} needs a name to push it by", hint=_HINT)
    if kind in ("registry", "docker") and not path:  # Docker's, without a dest: into the store
        kind = "image"
    return Output(kind, path, name, push, not _is_true(text, given, "tar", "true"))


def _is_true(text: str, given: Mapping[str, str], key: str, default: str) -> bool:
    try:
        return value.boolean(given.get(key, default))
    except ValueError as error:
        raise InvalidArgument(f"--output {text}: {key}: {error}", hint=_HINT) from None


def check(outputs: Sequence[Output]) -> None:
    """What can be wrong is found before the build. InvalidArgument for a file where a folder is to be."""
    for one in outputs:
        if one.kind == "local" and os.path.exists(one.path) and not os.path.isdir(one.path):
            raise InvalidArgument(f"--output {one.path} is a file", hint=_HINT)


def write(image: Image, one: Output, names: Sequence[str] = ()) -> None:
    """Files or archive to where they are wanted; `names` are those of an archive's image.

    In a folder all belongs to us, devices are left out, and what has the same name there is replaced.
    """
    from nbcontainers.image import exporting, pushing, saving

    if one.kind == "tar":
        exporting.export(image.engine, image.id, one.path)
    elif one.kind == "local":
        _extract(image, Path(one.path))
    elif FORMS[one.kind]:
        form = "oci-dir" if one.is_folder else FORMS[one.kind]
        saving.save(image.engine, list(names) or [image.id], one.path, form, uncompressed=False, compress="")
    elif one.push:
        pushing.push(image.engine, one.name)


def _extract(image: Image, folder: Path) -> None:
    """In a process of the launcher, which can read all of it."""
    from nbcontainers.image import lease, rootfs, scratch, work
    from nbcontainers.image.image import on_host

    if image.base:
        raise on_host(image, "is not written to a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"--output {folder}: {error.strerror}", hint="give a folder that can be made") from None
    with lease.adding(image.engine), scratch.folder(image.engine) as place:
        work.call(
            "nbcontainers.builder.copying:extract", place=work.place(image.engine),
            lowers=rootfs.layers(image.engine, image) if image.layers else [], folder=str(folder.absolute()), scratch=str(place),
        )  # fmt: skip
