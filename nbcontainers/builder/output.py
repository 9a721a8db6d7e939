"""`--output`: what a build leaves besides the image in the store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.errors import InvalidArgument
from nbcontainers.image.image import Image

FORMS = {"local": "", "tar": "", "oci": "oci-archive", "docker": "docker-archive", "image": ""}
_HINT = "write -o FOLDER, or -o type=local|tar|oci|docker,dest=PATH"


@dataclass(frozen=True)
class Output:
    """`kind`: local (a folder of the files), tar (of the files), oci, docker (archives), image (the store alone)."""

    kind: str
    path: str = ""


def parse(text: str) -> Output:
    """`type=tar,dest=FILE`, FOLDER, or `-` for a tar on the output. InvalidArgument for anything else."""
    if text == "-":
        return Output("tar", "-")
    if "=" not in text:
        return Output("local", text)
    given = dict(part.partition("=")[::2] for part in text.split(","))
    kind, path = given.pop("type", ""), given.pop("dest", "")
    if kind not in FORMS or given:
        unknown = ", ".join(given) or f"type={kind}"
        raise InvalidArgument(f"--output {text}: {unknown} is not known", hint=_HINT)
    if kind != "image" and not path:
        raise InvalidArgument(f"--output {text} needs a dest", hint=_HINT)
    return Output(kind, path)


def check(outputs: Sequence[Output]) -> None:
    """What can be wrong is found before the build. InvalidArgument for a folder with something in it."""
    for one in outputs:
        if one.kind == "local" and os.path.isdir(one.path) and os.listdir(one.path):
            raise InvalidArgument(
                f"--output {one.path} is a folder with something in it", hint="give a new or empty folder"
            )
        if one.kind == "local" and os.path.exists(one.path) and not os.path.isdir(one.path):
            raise InvalidArgument(f"--output {one.path} is a file", hint=_HINT)


def write(image: Image, one: Output) -> None:
    """Files or archive to where they are wanted. In a folder all belongs to us; devices are left out."""
    from nbcontainers.image import exporting, saving

    if one.kind == "tar":
        exporting.export(image.engine, image.id, one.path)
    elif one.kind == "local":
        _extract(image, Path(one.path))
    elif FORMS[one.kind]:
        saving.save(
            image.engine, [image.reference or image.id], one.path, FORMS[one.kind], uncompressed=False, compress=""
        )


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
