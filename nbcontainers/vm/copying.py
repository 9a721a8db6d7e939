"""`vm cp`: files go as a tar to busybox in the guest, or come from it; this host's side is that of `container cp`, for a
guest's tar is not to be trusted."""

from __future__ import annotations

import os
import posixpath
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from nbcontainers.container.session import Source, Streams
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.image import scratch
from nbcontainers.launcher import client
from nbcontainers.vm import executing, finding
from nbcontainers.vm.machine import Machine
from nbcontainers.vm.request import Command, Process

_STREAM = "-"
_TOOL = "/dev/busybox"
_BRING_TOOL = f"/bin/busybox cp /bin/busybox {_TOOL}"
_LOOK = (
    'if [ -d "$1" ]; then echo folder; elif [ -e "$1" ] || [ -L "$1" ]; then echo file; '
    'elif [ -d "$2" ]; then echo nothing; else echo nowhere; fi'
)


class Inside(NamedTuple):
    """A path in a machine, absolute."""

    machine: Machine
    path: str

    @property
    def label(self) -> str:
        return f"{self.machine.name}:{self.path}"

    @property
    def contents(self) -> bool:
        """`folder/.`: what is in it, not itself."""
        return self.path.endswith("/.") or self.path == "/"

    @property
    def plain(self) -> str:
        return posixpath.normpath(self.path)

    def look(self) -> str:
        """What is there: folder, file, nothing, or nowhere where not even its folder is."""
        found: list[bytes] = []
        words = ["sh", "-c", _LOOK, "sh", self.plain, posixpath.dirname(self.plain)]
        _busybox(self.machine, words, stdout=found.append)
        return b"".join(found).decode().strip()


def cp(engine: Engine, source: Any, destination: Any, *, archive: bool) -> None:
    """Copy. Raises NotFound, InvalidState, InvalidArgument; then nothing was copied."""
    first, last = _end(engine, source), _end(engine, destination)
    if isinstance(first, Inside) and isinstance(last, str):
        _out(engine, first, last, archive=archive)
    elif isinstance(first, str) and isinstance(last, Inside):
        _in(engine, first, last, archive=archive)
    else:
        raise InvalidArgument(
            "one end of the copy is in a virtual machine, the other on this host",
            hint="write MACHINE:/path for one of them; two machines need two copies",
        )


def _end(engine: Engine, given: Any) -> str | Inside:
    """`MACHINE:PATH`; a path of this host, absolute with what stands at its end; or `-`."""
    if isinstance(given, tuple) and len(given) == 2:
        return _inside(finding.find(engine, given[0]), str(given[1]))
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgument(f"{given!r} is no path", hint="write MACHINE:/path or a path of this host")
    name, colon, path = text.partition(":")
    if text == _STREAM:
        return text
    if isinstance(given, os.PathLike) or not colon or not name or text.startswith(("/", ".", "~")):
        return os.path.join(os.getcwd(), os.path.expanduser(text))
    return _inside(finding.find(engine, name), path)


def _inside(machine: Machine, path: str) -> Inside:
    if not path:
        raise InvalidArgument(f"no path in the machine {machine.name}", hint=f"write {machine.name}:/path")
    return Inside(machine, "/" + path.lstrip("/"))


def _in(engine: Engine, source: str, there: Inside, *, archive: bool) -> None:
    found = there.look()
    if source == _STREAM:
        if found != "folder":
            raise InvalidArgument(f"{there.label} is no folder, and a tar needs one to be unpacked into")
        if sys.stdin is not sys.__stdin__ or sys.stdin is None or sys.stdin.isatty():
            raise InvalidArgument("a tar is read from the standard input", hint="send one with | or <")
        _busybox(there.machine, ["tar", "-C", there.plain, "-xf", "-"], stdin=sys.stdin.fileno())
        return
    folder, name = _destination(source, there, found)
    with _staging(engine) as (staged, file):
        copied = f"{staged}/{name or 'contents'}"
        _copy(engine, source, copied, archive=archive)
        _copy(engine, copied if name else f"{copied}/.", _STREAM, file)
        file.seek(0)
        _busybox(there.machine, ["tar", "-C", folder, "-xf", "-"], stdin=file)


def _destination(source: str, there: Inside, found: str) -> tuple[str, str]:
    """The folder in the machine, and the name in it, "" for the contents of `source`. Docker's rules."""
    here, contents = Path(source), source.endswith("/.")
    if not (here.exists() or here.is_symlink()):
        raise NotFound(f"there is no {source}", hint="look at its name")
    folder = here.is_dir() and (contents or not here.is_symlink())
    if found == "folder":
        return there.plain, "" if contents else os.path.basename(os.path.normpath(source))
    if found == "nowhere" or (found == "nothing" and not folder and there.path.endswith(("/", "/."))):
        raise NotFound(f"there is no folder for {there.label}", hint="make it first: vm exec … mkdir -p …")
    if found == "file" and folder:
        raise InvalidArgument(
            f"{there.label} is a file, and {source} a folder", hint="name a folder, or what is not there"
        )
    return posixpath.dirname(there.plain), posixpath.basename(there.plain)


def _out(engine: Engine, there: Inside, destination: str, *, archive: bool) -> None:
    found = there.look()
    if found in ("nothing", "nowhere"):
        raise NotFound(
            f"there is no {there.label}", hint="the folder it is in has to be there, and its name to be right"
        )
    folder, name = posixpath.split(there.plain)
    if there.contents:  # a link leads where it does in the machine: what comes as one would lead somewhere on this host
        folder, name = there.plain, "."
    words = ["tar", "-C", folder, "-cf", "-", "--", name or "."]
    if destination == _STREAM:
        from nbcontainers.image.output import archive as output

        with output(_STREAM) as file:
            _busybox(there.machine, words, stdout=file.write)
        return
    with _staging(engine) as (staged, file):
        _busybox(there.machine, words, stdout=file.write)
        file.flush()
        file.seek(0)
        _copy(engine, _STREAM, staged, file)
        _copy(engine, f"{staged}/{name}{'/.' if there.contents else ''}", destination, archive=archive)


@contextmanager
def _staging(engine: Engine) -> Iterator[tuple[str, IO[bytes]]]:
    """A folder of this host, of whose files some may be another user's, and a file for the tar; swept after a kill."""
    with scratch.folder(engine) as here, tempfile.TemporaryFile(dir=here / "work") as file:
        yield str(here / "root"), file


def _copy(
    engine: Engine, source: str, destination: str, file: IO[bytes] | None = None, *, archive: bool = True
) -> None:
    """Between two places of this host, or `file` as a tar."""
    given: dict[str, Any] = {"fds": [file.fileno()]} if file else {}
    client.call(
        "nbcontainers.container.copying:work", root=str(engine.root), run=str(engine.run), source=["", source, source],
        destination=["", destination, destination], archive=archive, follow_link=False, **given,
    )  # fmt: skip


def _busybox(machine: Machine, words: Sequence[str], *, stdin: Source | None = None, stdout: Any = None) -> None:
    """Run one of its programs as root in the image's tree, where links lead nowhere but inside it."""
    process = Process([_TOOL, *words], [])
    carried = Command(process, "yes" if stdin is not None else "", before=_BRING_TOOL)
    executing.carry(machine, lambda: carried, Streams(stdin, stdout), raise_error=True)
