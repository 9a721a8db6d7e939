"""Where images are pulled from: a repository of a registry, or an OCI layout, as data that a child can open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

from nbcontainers.errors import Error, ImageError, NotFound, RegistryError
from nbcontainers.image.fetch import Manner, Source
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import MANIFEST, MAX_DOCUMENT, REF_NAME, Descriptor, read_document, read_index
from nbcontainers.oci.reference import Reference

if TYPE_CHECKING:
    from nbcontainers.engine import Engine
    from nbcontainers.registry.repository import Repository

_AT_ONCE = 6


class Where(TypedDict, total=False):
    """A source as JSON: `layout` is a folder; else `registry` is a Reference, reached by `settings`."""

    layout: str
    registry: list[str]
    settings: dict[str, Any]
    tls_verify: bool | None
    credentials: dict[str, Any] | None


def open_source(where: Where) -> tuple[Source, Manner]:
    """The source, and how it is best read."""
    if "layout" in where:
        return Layout(Path(where["layout"])), Manner(at_once=2)
    settings = where["settings"]
    return repository(where), Manner(at_once(where["registry"][0]), settings["tries"], settings["backoff"])


def at_once(domain: str) -> int:
    """Blobs to or from a registry at the same time. One on this machine shares our processors: the largest is to have one."""
    from nbcontainers.registry.settings import is_loopback

    return min(os.cpu_count() or 1, _AT_ONCE) if is_loopback(domain) else _AT_ONCE


def of_registry(engine: Engine, reference: Reference, tls_verify: bool | None) -> Where:
    """A repository as it is reached now: settings, environment and credentials are the client's."""
    from nbcontainers.registry import credentials, settings

    found = settings.load(engine)
    key = found.sources(reference.repository)[-1].key
    known: credentials.Credentials | RegistryError | None
    try:
        known = credentials.find(key, reference.path)
    except RegistryError as error:
        known = error  # a registry that asks nobody who he is does not need them
    return {
        "registry": list(reference), "settings": found.to_json(), "tls_verify": tls_verify,
        "credentials": known.to_json() if known else None,
    }  # fmt: skip


def repository(where: Where, *, push: bool = False) -> Repository:
    """To be closed by the caller."""
    from nbcontainers.registry.credentials import Credentials
    from nbcontainers.registry.repository import Repository
    from nbcontainers.registry.settings import Settings

    said = where["credentials"]
    known: Any = said and (Error.from_json(said) if "error" in said else Credentials.from_json(said))
    return Repository(
        Reference(*where["registry"]), Settings.from_json(where["settings"]), push=push,
        tls_verify=where["tls_verify"], credentials=known,
    )  # fmt: skip


class Layout:
    """An OCI layout as a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not (path / "oci-layout").exists() or not (path / "index.json").exists():
            raise ImageError(f"{path} is no OCI layout", hint="give a folder with oci-layout, index.json and blobs")

    def close(self) -> None:
        """Nothing is held."""

    def names(self) -> list[str]:
        return [name for one in self._entries() if (name := _name(one))]

    def _entries(self) -> list[Descriptor]:
        index = read_document((self._path / "index.json").read_bytes(), f"{self._path}/index.json")
        return read_index(index, f"{self._path}/index.json")

    def head(self, name: str) -> Descriptor | None:
        """The entry of that digest, or whose ref.name it is or ends with; without a name the only one there is."""
        entries = self._entries()
        if not name:
            if len(entries) > 1:
                raise NotFound(f"{self._path} holds {len(entries)} images", hint=_hint(self._path, self.names()))
            return entries[0] if entries else None
        fitting = [one for one in entries if name in (one["digest"], _name(one))]
        fitting += [one for one in entries if _name(one).endswith(f":{name}")]
        return fitting[0] if fitting else None

    def manifest(self, name: str, expected: Descriptor | None = None) -> tuple[Descriptor, bytes]:
        one = expected or self.head(name)
        if one is None:
            what = f"no image {name!r}" if name else "no image"
            raise NotFound(f"{self._path} holds {what}", hint=_hint(self._path, self.names()))
        with self.open_blob(one) as blob:
            content = blob.read(MAX_DOCUMENT + 1)
        if len(content) != one["size"] or digests.of(content, one["digest"]) != one["digest"]:
            raise ImageError(f"blob {one['digest']} of {self._path} is not what its name says")
        kind = read_document(content, f"manifest {one['digest']}").get("mediaType")
        return {**one, "mediaType": kind or one.get("mediaType") or MANIFEST}, content

    def open_blob(self, one: Descriptor, offset: int = 0) -> Part:
        path = self._path.joinpath("blobs", *digests.split(one["digest"]))
        try:
            return Part(os.open(path, os.O_RDONLY | os.O_CLOEXEC), offset)
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror}") from None


class Part:
    """A file from an offset on; closed at the end of the block."""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._at = offset

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)

    def read(self, size: int) -> bytes:
        found = os.pread(self._descriptor, size, self._at)
        self._at += len(found)
        return found

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count


def _name(one: Descriptor) -> str:
    return (one.get("annotations") or {}).get(REF_NAME, "")


def _hint(path: Path, names: list[str]) -> str:
    some = ", ".join(f"oci:{path}:{name}" for name in names[:5])
    return f"%image pull {some}" if len(names) == 1 else f"there are {some}" if some else "choose another folder"
