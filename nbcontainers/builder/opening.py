"""Contexts given as text: a folder, an archive, `-` (the input), a URL, a repository, an image of an OCI layout.

What is no folder yet becomes one that lasts as long as the build.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nbcontainers.builder import context as contexts
from nbcontainers.builder import epoch, git, putting
from nbcontainers.builder.building import AS_IMAGE
from nbcontainers.builder.remote import fetch, is_remote
from nbcontainers.engine import Engine
from nbcontainers.errors import BuildError, InvalidArgument
from nbcontainers.image import scratch, work

LAYOUT = "oci-layout://"
INPUT = "-"
_LARGEST = 1 << 20
_HINT = "give a folder, a tar archive, a URL or a git repository; - with a Dockerfile is no context"


class Opened(NamedTuple):
    """The folder, "" for none, or files in memory; `dockerfile` is what came instead of a context.

    `is_foreign`: it came from elsewhere, so that no link in it may lead to a file of this machine; `changed`: when, if its server
    said so, in seconds since 1970.
    """

    folder: str | Mapping[str, Any]
    dockerfile: bytes | None = None
    is_foreign: bool = False
    changed: int = 0

    def when(self) -> int | None:
        """The time of what came from elsewhere, where all files are, with theirs. None for others."""
        if not self.is_foreign or not isinstance(self.folder, str):
            return None
        return self.changed or epoch.newest(self.folder)


class Opener:
    """Opens the contexts of one build; folders go with `stack`."""

    def __init__(self, engine: Engine, stack: ExitStack, tell: Callable[[dict[str, Any]], None] | None) -> None:
        self.engine, self.stack, self.tell = engine, stack, tell

    def main(self, text: str, *, reads_input: bool) -> Opened:
        """The main context. Of `-` an archive or a Dockerfile is read if `reads_input`, else it is none."""
        if text == INPUT and not reads_input:
            return Opened("")
        if text == INPUT:
            return self._content(self._spooled(sys.stdin.buffer), "the input")
        if os.path.isdir(os.path.abspath(os.path.expanduser(text))):
            return Opened(self._local("context", text))
        if repository := git.parse(text):
            return Opened(self._cloned(repository), is_foreign=True)
        if is_remote(text):
            folder = self._folder()
            path = folder / fetch(text, folder, "", "", _go_on)
            return self._content(str(path), text)._replace(changed=int(path.stat().st_mtime))
        return Opened(self._local("context", text), is_foreign=True)

    def named(self, name: str, text: str) -> str:
        """One of --build-context: a folder, or docker-image:// and an image that is here or can be pulled."""
        if text.startswith(AS_IMAGE):
            return text
        if text.startswith(LAYOUT):
            return AS_IMAGE + self._of_layout(text.removeprefix(LAYOUT))
        if repository := git.parse(text):
            return self._cloned(repository)
        if is_remote(text):
            folder = self._folder()
            fetched = folder / fetch(text, folder, "", "", _go_on)
            return self._unpacked(fetched) if putting.is_archive(str(fetched)) else str(folder)
        return self._local(name, text)

    def _local(self, name: str, text: str) -> str:
        path = os.path.abspath(os.path.expanduser(text))
        if not os.path.isfile(path):
            return contexts.of_folder(name, text).path
        if not putting.is_archive(path):
            raise InvalidArgument(f"the context {text} is a file, and no tar archive", hint=_HINT)
        return self._unpacked(Path(path))

    def _content(self, path: str, name: str) -> Opened:
        """What came from elsewhere: an archive is a context, anything else a Dockerfile without one."""
        if putting.is_archive(path):
            return Opened(self._unpacked(Path(path)), is_foreign=True)
        with open(path, "rb") as file:
            content = dockerfile_in(file, name)
        if not content.strip():
            raise InvalidArgument(f"{name} is empty", hint="it has to be a Dockerfile or a tar archive")
        return Opened("", content)

    def _spooled(self, stream: BinaryIO) -> str:
        if sys.stdin.isatty():
            raise InvalidArgument(
                "- reads the input, and that is a terminal", hint="write … | build -, or build FOLDER"
            )
        path = self._folder() / "input"
        with open(path, "wb") as file:
            shutil.copyfileobj(stream, file)
        return str(path)

    def _unpacked(self, path: Path) -> str:
        """In a process of the launcher: all files belong to us there."""
        folder = self._folder()
        work.call("nbcontainers.builder.archive:unpack_all", path=str(path), folder=str(folder))
        return str(folder)

    def _cloned(self, repository: git.Repository) -> str:
        place, _ = git.checkout(repository, self._folder(), keep=bool(repository.keep), check=_go_on)
        return place

    def _of_layout(self, text: str) -> str:
        """The image `PATH[:TAG][@DIGEST]`, brought into the store."""
        from nbcontainers.image import pulling

        path, at, digest = text.partition("@")
        if at:
            path = f"{path if os.path.isdir(path) else path.rpartition(':')[0]}:{digest}"
        [image] = pulling.pull(self.engine, f"oci:{path}", progress=self.tell)
        return image.id

    def _folder(self) -> Path:
        return self.stack.enter_context(scratch.folder(self.engine)) / "root"


def dockerfile_in(file: BinaryIO, name: str) -> bytes:
    """All of it. BuildError for more than a Dockerfile has."""
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise BuildError(f"{name} has more than {_LARGEST >> 20} MiB", hint="give the path of a Dockerfile with -f")
    return content


def _go_on() -> None:
    """Before the build there is nothing that could end it but an interrupt."""
