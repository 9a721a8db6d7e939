"""`--cache-to` and `--cache-from`: results of steps in a folder that other machines and CI runs can have.

    FOLDER/steps/KEY.json    a result, as image/kept.py has it
    FOLDER/blobs/sha256/…    the layers, as they travel

Who names a folder in --cache-from trusts it as much as a base image: its blobs are checked, what they hold is not.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import kept, layout
from nbcontainers.image.kept import Kept
from nbcontainers.layer.codec import pieces
from nbcontainers.oci import digest
from nbcontainers.oci.image import encode


def check(option: str, folder: str, *, must_be: bool) -> Path:
    """The folder's path. InvalidArgument for what is no folder."""
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    if (must_be and not path.is_dir()) or (path.exists() and not path.is_dir()):
        hint = f"write --{option} FOLDER; --cache-to makes one"
        raise InvalidArgument(f"--{option} {folder}: there is no such folder", hint=hint)
    return path


def find(engine: Engine, folders: Iterable[Path], key: str) -> Kept | None:
    """The result of that key from one of the folders, brought into the store. ImageError for a blob that is damaged."""
    for folder in folders:
        try:
            found: Kept = json.loads(_step(folder, key).read_bytes())
            if found["diff_id"]:
                with open(_blob(folder, found), "rb") as file:
                    layout.put(engine, pieces(file), found["descriptor"])
        except (FileNotFoundError, ValueError):
            continue
        kept.keep(engine, key, found)
        return found
    return None


def write(engine: Engine, folder: Path, results: Iterable[tuple[str, Kept]]) -> None:
    """Add results to the folder, blobs first; what is there already stays."""
    for key, one in results:
        if one["diff_id"]:
            _copy(layout.blob(engine, one["descriptor"]["digest"]), _blob(folder, one))
        step = _step(folder, key)
        step.parent.mkdir(parents=True, exist_ok=True)
        partial = step.with_suffix(f".{os.getpid()}")
        partial.write_bytes(encode(one))
        partial.replace(step)


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _step(folder: Path, key: str) -> Path:
    return folder / "steps" / f"{digest.split(key)[1]}.json"


def _blob(folder: Path, one: Kept) -> Path:
    algorithm, value = digest.split(one["descriptor"]["digest"])
    return folder / "blobs" / algorithm / value
