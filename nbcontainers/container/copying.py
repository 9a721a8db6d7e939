"""`container cp`: files between a container and this machine, or between two containers, and as a tar."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from nbcontainers.advice import advise_left_out
from nbcontainers.container import placing, trees
from nbcontainers.container.container import Container, find
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument

_STREAM = "-"
_HINTS = {
    errno.EROFS: "the destination is on a read-only mount: choose another, or mount it without ro",
    errno.ENOSPC: "make room at the destination, or choose another",
    errno.EDQUOT: "make room at the destination, or choose another",
    errno.EACCES: "one of the two may not be read or written by you",
    errno.EPERM: "one of the two may not be read or written by you",
}
Facts = dict[str, Any]


class End(NamedTuple):
    """One end of a copy: the id of a container ("" for this machine) and an absolute path in it, or `-`."""

    id: str
    path: str
    label: str


def cp(engine: Engine, source: Any, destination: Any, *, archive: bool, follow_link: bool) -> None:
    """Copy. Raises NotFound, InvalidArgument for two ends that do not go together; then nothing was copied."""
    ends = _end(engine, source), _end(engine, destination)
    _check(*ends)
    with ExitStack() as stack:
        ways = zip(ends, (_input, _output), strict=True)
        streams = [stack.enter_context(opened()) for end, opened in ways if end.path == _STREAM]
        from nbcontainers.launcher.client import call

        given: Facts = {"fds": streams} if streams else {}
        facts: Facts = call(
            "nbcontainers.container.copying:work", root=str(engine.root), run=str(engine.run), source=list(ends[0]),
            destination=list(ends[1]), archive=archive, follow_link=follow_link, **given,
        )  # fmt: skip
    advise_left_out(f"the copy of {ends[0].label}", facts, stacklevel=3)


def _end(engine: Engine, given: Any) -> End:
    """`CONTAINER:PATH`, a path of this machine (with a slash before any colon), or `-`; in Python also a path object
    and a pair (container, path)."""
    if isinstance(given, tuple) and len(given) == 2:
        handle, path = find(engine, given[0]), str(given[1])
        return _inside(handle, path, f"{handle.name}:{path}")
    if isinstance(given, os.PathLike):
        return _here(os.fspath(given))
    if not isinstance(given, str) or not given or "\0" in given:
        raise InvalidArgument(f"{given!r} is no path", hint="write CONTAINER:/path or a path of this machine")
    name, colon, path = given.partition(":")
    if given == _STREAM or not colon or given.startswith(("/", ".", "~")) or not name:
        return End("", _STREAM, _STREAM) if given == _STREAM else _here(given)
    return _inside(find(engine, name), path, given)


def _here(path: str) -> End:
    """Absolute, with the slash or dot at its end that was typed."""
    full = os.path.join(os.getcwd(), os.path.expanduser(path))
    return End("", full + "/." if os.path.basename(full) == ".." else full, path)


def _inside(container: Container, path: str, label: str) -> End:
    if not path:
        raise InvalidArgument(f"{label!r} names no path in the container", hint=f"write {container.name}:/path")
    full = "/" + path.lstrip("/")
    return End(container.id, full + "/." if os.path.basename(full) == ".." else full, label)


def _check(source: End, destination: End) -> None:
    if not source.id and not destination.id:
        raise InvalidArgument("neither end of the copy is in a container", hint="write CONTAINER:/path for one of them")


@contextmanager
def _input() -> Iterator[int]:
    """Our own standard input, as a descriptor for the child."""
    if sys.stdin is not sys.__stdin__ or sys.stdin is None or sys.stdin.isatty():
        raise InvalidArgument("a tar is read from the standard input", hint="send one with | or <")
    yield sys.stdin.fileno()


@contextmanager
def _output() -> Iterator[int]:
    """The same of the standard output."""
    from nbcontainers.image.output import archive

    with archive(_STREAM) as file:
        yield file.fileno()


# -- in a process of the launcher --------------------------------------------------------------------------------------


def work(
    root: str, run: str, source: list[str], destination: list[str], archive: bool, follow_link: bool,
    fds: list[int] | None = None,
) -> Facts:  # fmt: skip
    """The copy; what was left out. Raises Error for what one of the two sides does not let us do."""
    os.umask(0)
    first, last = End(*source), End(*destination)
    try:
        return _work(root, run, first, last, archive, follow_link, fds or [])
    except OSError as error:
        name = error.filename
        where = f": {os.fsdecode(name)}" if name and isinstance(name, (str, bytes)) else ""
        hint = _HINTS.get(error.errno or 0, "look at both sides, as with container exec NAME ls -l")
        message = f"{first.label} could not be copied to {last.label}: {os.strerror(error.errno or 0)}{where}"
        raise Error(message, hint=hint, errno=error.errno) from error


def _work(
    root: str, run: str, first: End, last: End, archive: bool, follow_link: bool, fds: list[int]
) -> Facts:  # fmt: skip
    """Both trees open, then the copy."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with ExitStack() as stack:
        roots = {id: stack.enter_context(trees.opened(root, run, id)) for id in sorted({first.id, last.id} - {""})}
        roots[""] = here
        stack.callback(os.close, here)
        if first.path == _STREAM:
            return _read_tar(fds[0], roots[last.id], _path(last))
        what = placing.source(roots[first.id], _path(first), follow=follow_link)
        stack.callback(os.close, what.folder)
        if last.path == _STREAM:
            return _write_tar(fds[0], what, _path(first))
        owner = None if archive else (0, 0) if last.id else (os.geteuid(), os.getegid())
        return dict(placing.put(what, _path(first), roots[last.id], _path(last), owner))


def _path(end: End) -> placing.Path:
    return placing.Path(end.label, end.path)


def _write_tar(file: int, what: placing.Place, source: placing.Path) -> Facts:
    """A tar whose members begin with the source's name, but for `folder/.`."""
    from nbcontainers.layer.pack import Packer

    packer = Packer(layer=False)
    name = b"" if source.contents else source.name
    return packer.write(placing.changes(what, packer.unreadable, name), file)


def _read_tar(file: int, root: int, path: placing.Path) -> Facts:
    """Unpack a tar, compressed or not, into a folder that is there. Its owners are kept, as Docker has it."""
    from nbcontainers.layer import codec, tar
    from nbcontainers.layer.copy import Copy

    with placing.found(root, path, follow=True) as there:
        if not there.is_folder:
            raise InvalidArgument(
                f"{path.label} is no folder, and a tar needs one to be unpacked into",
                hint="make it first, or name the one it is in",
            )
        top = there.open()
    try:
        with open(file, "rb", closefd=False) as stream:
            reader = tar.Reader(codec.chunks(stream))
            return Copy(top).archive(reader, reader.data)
    finally:
        os.close(top)
