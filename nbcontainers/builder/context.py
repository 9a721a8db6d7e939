"""Contexts: the folders that COPY and ADD take files from, without what .dockerignore leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbcontainers.builder.selection import Match, Root
from nbcontainers.dockerfile import content as contents
from nbcontainers.dockerfile import ignore
from nbcontainers.dockerfile.content import Stamp
from nbcontainers.dockerfile.ignore import Ignore
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError, InvalidArgument
from nbcontainers.image import scratch
from nbcontainers.layer import xattrs

_digests: dict[Stamp, str] = {}
"""Of files that were read before; a kernel that builds again reads only what changed."""
_MOST_DIGESTS = 200_000
GONE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True)
class Context:
    """A folder, and what is left out of it."""

    name: str
    path: str
    ignore: Ignore | None = None

    def root(self) -> Root:
        return Root(self.path, self.ignore)

    def digest(self, matches: Iterable[Match]) -> str:
        """Of what matches: names, kinds, modes, attributes that a layer carries, and bytes, never times or owners."""
        if len(_digests) > _MOST_DIGESTS:
            _digests.clear()
        return contents.of_tree(self._files(matches))

    def _files(self, matches: Iterable[Match]) -> Iterator[tuple[str, str]]:
        for number, match in enumerate(matches):
            for name, path in [(match.name, match.path), *match.above]:
                yield f"{number}/{name}", self._file(path)
            for name in match.members:
                path = f"{match.path}/{name}" if match.path else name
                yield f"{number}/{match.name}/{name}", self._file(path)

    def _file(self, path: str) -> str:
        full = f"{self.path}/{path}" if path else self.path
        try:
            facts = os.lstat(full)
            return contents.remembered(facts, _digests, lambda: _read(full, facts))
        except GONE as error:
            raise gone(error, self.path) from None


def _read(path: str, facts: os.stat_result) -> str:
    attributes = sorted(xattrs.packed(os.fsencode(path)).items())
    return contents.of_file(path, facts) + "".join(f" {key.hex()}={text.hex()}" for key, text in attributes)


def gone(error: OSError, folder: str) -> BuildError:
    """A file of the context that was another one, or none, when it was its turn."""
    path = os.path.relpath(os.fsdecode(error.filename), folder) if error.filename else "a file"
    hint = "something changes the context: build again when that is done, or leave the file out in .dockerignore"
    return BuildError(f"{path} in the context changed while the build read it: {error.strerror}", hint=hint)


def of_folder(name: str, path: str | os.PathLike[str]) -> Context:
    """The folder as it is. InvalidArgument where there is none."""
    full = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(full):
        what = "is no folder" if os.path.exists(full) else "does not exist"
        hint = "give the folder with the files that COPY takes, or - for none; -t NAME is what the image is called"
        raise InvalidArgument(f"the context {os.fspath(path)} {what}", hint=hint)
    return Context(name, full)


def with_ignore_file(path: str | os.PathLike[str], dockerfile: str) -> Context:
    """The main context, with its .dockerignore or that of the Dockerfile (a path, "" for none)."""
    found = of_folder("context", path)
    file = ignore.of_dockerfile(found.path, dockerfile or os.path.join(found.path, "Dockerfile"))
    if not file:
        return found
    return Context(found.name, found.path, ignore.parse(Path(file).read_bytes(), os.path.basename(file)))


def of_files(engine: Engine, stack: ExitStack, name: str, files: Mapping[str, Any]) -> Context:
    """Files from the notebook's memory: text or bytes by path; what has `to_csv` (a DataFrame) is written as that."""
    place = stack.enter_context(scratch.folder(engine)) / "root"
    for key, value in files.items():
        path = os.path.normpath(str(key)).lstrip("/")
        if path.startswith("..") or path == ".":
            hint = "write paths below the context, as data/a.csv"
            raise InvalidArgument(f"{name}: {key!r} is no path of a file", hint=hint)
        target, content = place / path, content_of(name, key, value)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            hint = f"one of its parts, or another path below it, is a file too: call {key!r} something else"
            raise InvalidArgument(f"{name}: {key!r} cannot be a file", hint=hint) from None
        os.utime(target, (0, 0))  # the same files make the same layer
    return Context(name, str(place))


def content_of(name: str, key: Any, value: Any) -> bytes:
    """The bytes of a file from memory."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if hasattr(value, "to_csv"):
        return str(value.to_csv(index=False)).encode()
    message = f"{name}: {key!r} is {type(value).__name__}, not the contents of a file"
    raise InvalidArgument(message, hint="give text, bytes or a DataFrame")
