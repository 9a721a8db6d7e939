"""Where an archive goes: a file that is there as a whole or not at all, or the standard output."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nbcontainers.errors import Error, InvalidArgument

_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def archive(path: str) -> Generator[Any]:
    """A file to write to; `-` is the standard output. Nothing is left of a file that was not finished.

    Raises InvalidArgument for a terminal and for what cannot be written to, Error for a full disk.
    """
    if path in ("", "-"):
        with _standard_output() as file:
            yield file
        return
    target = _target(path)
    with _explained(path):
        if target.is_dir():
            raise InvalidArgument(f"cannot write {path}: it is a folder", hint="write -o FILE")
        if _is_special(target):
            with open(target, "wb") as file:
                yield file
            return
        with _unnamed(target.parent) or _named(target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _give_name(file, target)


def _unnamed(folder: Path) -> Any:
    """A file without a name: nothing is left of it whatever happens. None where the file system has no such thing."""
    try:
        return open(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666), "wb")
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        return None


@contextmanager
def _named(target: Path) -> Generator[Any]:
    partial = _beside(target)
    try:
        with open(partial, "xb") as file:
            yield file
    finally:
        partial.unlink(missing_ok=True)


def _give_name(file: Any, target: Path) -> None:
    """The name, at once and in place of what has it: link(2) does not replace, so then by way of another name."""
    if isinstance(file.name, str):
        os.replace(file.name, target)
        return
    if not os.path.lexists(target):
        with suppress(FileExistsError):
            _link(file, target)
            return
    partial = _beside(target)
    _link(file, partial)
    try:
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _link(file: Any, path: Path) -> None:
    """open(2), O_TMPFILE: through /proc, as linkat(2) needs no privilege then. A folder's descriptor makes Python use it."""
    above = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", path.name, src_dir_fd=above, dst_dir_fd=above)
    finally:
        os.close(above)


@contextmanager
def folder(path: str) -> Generator[Path]:
    """A new folder, in its place when all is in it. InvalidArgument where something is already."""
    target = _target(path)
    with _explained(path):
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise InvalidArgument(f"{path} is there already", hint="give the path of a folder to be made")
        partial = _beside(target)
        partial.mkdir()
        try:
            yield partial
            os.rename(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _target(path: str) -> Path:
    """Where it leads. InvalidArgument for what no file can be called: with a zero byte, or half a character in it."""
    target = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        os.access(target, os.F_OK)
    except ValueError:
        raise InvalidArgument(f"{path!r} is no path", hint="write -o FILE") from None
    return target


def _beside(target: Path) -> Path:
    """A name that fits wherever the target's does: no more than 255 bytes."""
    return target.with_name(f".{target.name[:50]}.{os.urandom(4).hex()}.partial")


def _is_special(target: Path) -> bool:
    """A pipe or a device is written to as it is."""
    try:
        return not stat.S_ISREG(target.stat().st_mode)
    except FileNotFoundError:
        return False


@contextmanager
def _explained(path: str) -> Generator[None]:
    """Only what concerns the path itself: the store's own errors go on as they are."""
    hint = "give the path of a file that can be written, on a disk with room, with -o FILE"
    try:
        yield
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(_target(path).parent)):
            raise
        raise Error(f"cannot write {path}: {error.strerror}", hint=hint, errno=error.errno) from None
    except Error as error:  # of a child that wrote for us
        if error.details.get("errno") not in _WRITING or error.details.get("path"):
            raise
        raise Error(f"cannot write {path}: {error.message}", hint=hint, errno=error.details["errno"]) from None


@contextmanager
def _standard_output() -> Generator[Any]:
    """Only the process's own: a notebook's is no place for bytes."""
    if sys.stdout is not sys.__stdout__ or sys.stdout is None:
        raise InvalidArgument("an archive needs a file to go to", hint="write -o FILE")
    sys.stdout.flush()
    if os.isatty(sys.stdout.fileno()):
        raise InvalidArgument("an archive is nothing for a terminal", hint="write -o FILE, or send it on with | or >")
    with open(sys.stdout.fileno(), "wb", closefd=False) as file:
        yield file
