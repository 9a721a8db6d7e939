"""`--cache-to` and `--cache-from`: results of steps where other machines and CI runs can have them.

In a folder:

    FOLDER/steps/KEY.json    a result, as image/kept.py has it
    FOLDER/blobs/sha256/…    the layers, as they travel

In a registry: an image whose config is {"steps": {KEY: result}} (CONFIG_TYPE) and whose layers are those of the results,
so that every registry takes it and collects nothing of it.

Who names a place in --cache-from trusts it as much as a base image: its blobs are checked, what they hold is not.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, Protocol

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument
from nbcontainers.image import kept, layout
from nbcontainers.image.kept import Kept
from nbcontainers.layer.codec import pieces
from nbcontainers.oci import digest
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import MANIFEST, descriptor, encode
from nbcontainers.oci.reference import Reference
from nbcontainers.registry import settings
from nbcontainers.registry.repository import Repository

CONFIG_TYPE = "application/vnd.nbcontainers.build.steps.v1+json"
_LARGEST = 64 << 20
_PIECE = 1 << 20


class Cache(Protocol):
    """A place for results."""

    def load(self, engine: Engine) -> None:
        """Look what is there, before the build."""

    def find(self, engine: Engine, key: str) -> Kept | None:
        """The result, its layer brought into the store. ImageError for a blob that is damaged."""

    def write(self, engine: Engine, results: Iterable[tuple[str, Kept]]) -> None:
        """Add results, blobs first."""


def parse(option: str, text: str, *, must_be: bool) -> Cache:
    """FOLDER, `type=local,src|dest=FOLDER` or `type=registry,ref=NAME[:TAG]`. InvalidArgument for anything else."""
    if "=" not in text or os.path.isdir(os.path.expanduser(text)):
        return Folder(option, text, must_be=must_be)
    given = dict(part.partition("=")[::2] for part in text.split(","))
    kind = given.pop("type", "")
    given.pop("mode", None)  # ours always has all steps
    if kind == "local" and (folder := given.pop("src", "") or given.pop("dest", "")) and not given:
        return Folder(option, folder, must_be=must_be)
    if kind == "registry" and (name := given.pop("ref", "")) and not given:
        return Registry(name)
    hint = f"write --{option} FOLDER, or --{option} type=registry,ref=REGISTRY/NAME:TAG"
    raise InvalidArgument(f"--{option} {text} is not known", hint=hint)


def find(engine: Engine, caches: Sequence[Cache], key: str) -> Kept | None:
    """The result of that key from the first that has it, kept here from now on."""
    for cache in caches:
        if found := cache.find(engine, key):
            kept.keep(engine, key, found)
            return found
    return None


class Folder:
    """Of this machine."""

    def __init__(self, option: str, text: str, *, must_be: bool) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(text)))
        if (must_be and not self.path.is_dir()) or (self.path.exists() and not self.path.is_dir()):
            hint = f"write --{option} FOLDER; --cache-to makes one"
            raise InvalidArgument(f"--{option} {text}: there is no such folder", hint=hint)

    def load(self, engine: Engine) -> None:
        """It is looked at step by step."""

    def find(self, engine: Engine, key: str) -> Kept | None:
        try:
            found: Kept = json.loads(self._step(key).read_bytes())
            if found["diff_id"]:
                with open(self._blob(found), "rb") as file:
                    layout.put(engine, pieces(file), found["descriptor"])
        except (FileNotFoundError, ValueError):
            return None
        return found

    def write(self, engine: Engine, results: Iterable[tuple[str, Kept]]) -> None:
        """What is there already stays."""
        try:
            for key, one in results:
                if one["diff_id"] and not self._blob(one).exists():
                    source = layout.blob(engine, one["descriptor"]["digest"])
                    _put(self._blob(one), partial(shutil.copyfile, source))
                _put(self._step(key), methodcaller("write_bytes", encode(one)))
        except OSError as error:
            message = f"the results cannot be written to {self.path}: {error.strerror}"
            raise ImageError(message, hint="give --cache-to a folder that you can write to") from None

    def _step(self, key: str) -> Path:
        return self.path / "steps" / f"{digest.split(key)[1]}.json"

    def _blob(self, one: Kept) -> Path:
        algorithm, value = digest.split(one["descriptor"]["digest"])
        return self.path / "blobs" / algorithm / value


def _put(target: Path, fill: Callable[[Path], object]) -> None:
    """A file, whole or not at all, whoever else writes it at the same time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{os.urandom(8).hex()}.new")
    try:
        fill(new)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


class Registry:
    """A tag of a repository. What cannot be reached is a RegistryError; a tag that is not there yet has no steps."""

    def __init__(self, name: str) -> None:
        self.reference = references.parse(name)
        self._steps: Mapping[str, Kept] = {}

    def load(self, engine: Engine) -> None:
        with self._repository(engine) as repository:
            if not (there := repository.head(_tag(self.reference))):
                return
            _, content = repository.manifest(there["digest"])
            config: Any = json.loads(content).get("config") or {}
            if config.get("mediaType") != CONFIG_TYPE or config["size"] > _LARGEST:
                hint = "give the name that --cache-to was given"
                raise ImageError(f"{self.reference} is an image and no cache of a build", hint=hint)
            with repository.open_blob(config) as blob:
                content = b"".join(iter(lambda: blob.read(_PIECE), b""))
        if digest.of(content) != config["digest"]:
            raise ImageError(f"the cache {self.reference} is damaged", hint="write it again with --cache-to")
        self._steps = json.loads(content)["steps"]

    def find(self, engine: Engine, key: str) -> Kept | None:
        found = self._steps.get(key)
        if found and found["diff_id"]:
            with self._repository(engine) as repository, repository.open_blob(found["descriptor"]) as blob:
                layout.put(engine, iter(lambda: blob.read(_PIECE), b""), found["descriptor"])
        return found

    def write(self, engine: Engine, results: Iterable[tuple[str, Kept]]) -> None:
        """In the place of what the tag had."""
        steps = dict(results)
        layers = {one["diff_id"]: one["descriptor"] for one in steps.values() if one["diff_id"]}
        config = layout.put_document(engine, {"steps": steps}, CONFIG_TYPE)
        with self._repository(engine, push=True) as repository:
            for one in (*layers.values(), config):
                if not repository.has_blob(one["digest"]):
                    with open(layout.blob(engine, one["digest"]), "rb") as file:
                        repository.upload_blob(descriptor(one["mediaType"], one["digest"], one["size"]), file)
            document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(layers.values())}
            repository.put_manifest(encode(document), MANIFEST, _tag(self.reference))

    def _repository(self, engine: Engine, *, push: bool = False) -> Repository:
        return Repository(self.reference, settings.load(engine), push=push)


def _tag(reference: Reference) -> str:
    return reference.digest or reference.tag
