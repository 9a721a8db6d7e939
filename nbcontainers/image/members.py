"""The files an archive or a layout folder is made of, by name. Nothing in them is trusted, least of all their names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound
from nbcontainers.image import layout
from nbcontainers.layer import codec, tar
from nbcontainers.layer.tree import clean
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import MAX_DOCUMENT, Descriptor

MOST = 200_000
"""Members of the largest archive we read."""
BUDGET = tar.Budget()
"""What decompressing an archive may cost."""


class File(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Members(Protocol):
    """Named files. `stem` is what the archive or folder is called. ImageError for a name that is not there."""

    stem: str

    def has(self, name: str) -> bool: ...
    def open(self, name: str) -> File: ...
    def size(self, name: str) -> int: ...


def document(members: Members, name: str) -> bytes:
    """The content of a small file; ImageError for one that is larger than any registry takes."""
    content = members.open(name).read(MAX_DOCUMENT + 1)
    if len(content) > MAX_DOCUMENT:
        raise ImageError(f"{name} is larger than {MAX_DOCUMENT} bytes")
    return content


def blob_name(one: Descriptor) -> str:
    return "blobs/" + "/".join(digests.split(one["digest"]))


def blob(members: Members, one: Descriptor) -> bytes:
    """A small blob, held to its digest and size."""
    content = document(members, blob_name(one))
    if digests.of(content, one["digest"]) != one["digest"] or len(content) != one["size"]:
        raise ImageError(f"blob {one['digest']} of {members.stem} is not what its name says")
    return content


@contextmanager
def opened(engine: Engine, file: str) -> Iterator[Members]:
    """The members of an archive, plain or compressed, `-` for standard input, or of a folder.

    A plain archive in a file is read in place; any other is unpacked beside the store first.
    """
    with ExitStack() as stack:
        path = os.path.expanduser(file)
        if os.path.isdir(path):
            yield Folder(Path(path))
            return
        archive = stack.enter_context(open_file(file))
        if not archive.seekable() or codec.detect(archive.read(16)):
            if archive.seekable():
                archive.seek(0)
            plain = stack.enter_context(layout.partial(engine))
            _unpack(archive, plain)
            archive = stack.enter_context(open(plain.name, "rb"))
        stem = re.sub(r"(\.oci|\.docker)?\.(tar|tgz|tzst)?(\.\w+)?$", "", Path(file).name.lower())
        yield Archive(archive.fileno(), stem)


def _unpack(archive: Any, plain: Any) -> None:
    """Decompress it. ImageError for what looks like a bomb."""
    source, count = Counted(archive), 0
    for piece in codec.chunks(source):
        count += plain.write(piece)
        BUDGET.check_bytes(count, source.at)
    plain.flush()


class Counted:
    """A file that knows how much of it was read, though it may be a pipe."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.at = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.at += len(data)
        return data


@contextmanager
def naming(file: str, hint: str) -> Iterator[None]:
    """Say which file an ImageError is about, and what to give instead."""
    try:
        yield
    except ImageError as error:
        where = "the input" if file == "-" else file
        raise ImageError(f"{where}: {error.message}", hint=error.hint or hint, **error.details) from None


def open_file(file: str) -> Any:
    """The user's file, `-` for standard input. NotFound says what is wrong with the path."""
    try:
        return open(0 if file == "-" else os.path.expanduser(file), "rb", closefd=file != "-")
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", hint="give the path of a tar archive") from None
    except OSError as error:
        raise InvalidArgument(f"cannot read {file}: {error.strerror}", hint="give the path of a tar archive") from None
    except ValueError:  # a zero byte, or half a character
        raise InvalidArgument(f"{file!r} is no path", hint="give the path of a tar archive") from None


def _bytes(name: str) -> bytes:
    """A name out of JSON may hold half a character, which no file's name does."""
    return name.encode("utf-8", "surrogatepass")


class Folder:
    """Files in a folder. `..` ends at it, and what is no regular file (a FIFO would keep us waiting) is refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stem = path.resolve().name

    def _place(self, name: str) -> Path:
        return self._path / os.fsdecode(clean(_bytes(name)))

    def has(self, name: str) -> bool:
        return self._place(name).is_file()

    def open(self, name: str) -> File:
        try:
            descriptor = os.open(self._place(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self._path}/{name} cannot be read: {error}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageError(f"{self._path}/{name} is no file")
        return open(descriptor, "rb")

    def size(self, name: str) -> int:
        with self.open(name) as file:  # type: ignore[attr-defined]
            return os.fstat(file.fileno()).st_size


class Archive:
    """The members of an uncompressed tar file: found once, then read where they lie. Links between them are followed.

    Of several members of one name the last one counts, as for every tar.
    """

    def __init__(self, descriptor: int, stem: str) -> None:
        self._descriptor = descriptor
        self.stem = stem or "archive"
        self._members: dict[bytes, tuple[int, int]] = {}
        self._links: dict[bytes, bytes] = {}
        self._index()

    def _index(self) -> None:
        if not os.fstat(self._descriptor).st_size:
            raise ImageError("it is empty")
        for count, (entry, offset) in enumerate(tar.members(self._descriptor), 1):
            if count > MOST:
                raise ImageError(f"it has more than {MOST} members")
            name = clean(entry.name)
            self._members.pop(name, None)
            self._links.pop(name, None)
            if entry.type == tar.REGULAR and entry.map is None:
                self._members[name] = (offset, entry.size)
            elif entry.type == tar.SYMLINK:
                self._links[name] = clean(name.rpartition(b"/")[0] + b"/" + entry.link)
            elif entry.type == tar.LINK:
                self._links[name] = clean(entry.link)

    def _member(self, name: str) -> tuple[int, int]:
        key = clean(_bytes(name))
        for _ in range(10):
            if found := self._members.get(key):
                return found
            key = self._links.get(key, b"")
        raise ImageError(f"{self.stem} lacks {name}, which it says it has")

    def has(self, name: str) -> bool:
        return os.fsencode(name) in self._members

    def open(self, name: str) -> File:
        return Slice(self._descriptor, *self._member(name))

    def size(self, name: str) -> int:
        return self._member(name)[1]


class Slice:
    """A part of a file, read without moving anybody's position."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._at = offset
        self._end = offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data
