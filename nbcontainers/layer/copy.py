"""Files put into a tree that others may be changing meanwhile: a volume's first contents, `container cp`.

Everything goes by descriptors. A folder of the target is found below its top without following a link (openat2(2),
RESOLVE_NO_SYMLINKS), names are made relative to it, and a file is opened without following links: whoever exchanges
folders and links while we work gets an error or a file in the wrong place of his own tree, never one outside.

What is there already: a folder over a folder is merged with it, a file replaces a file or a link; a folder never
replaces a file, nor a file a folder (as docker cp has it).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nbcontainers.errors import InvalidArgument
from nbcontainers.layer import holes, tar, xattrs
from nbcontainers.layer.changes import Change, open_folder
from nbcontainers.layer.tree import clean, lstat, show

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERWRITE = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_VANISHED = (errno.ENOENT, errno.ELOOP, errno.ENXIO)
_PIECE = 256 << 10
_NOTED = 20
_KEPT_WITH_OWNER = (b"security.", b"system.")
"""Extended attributes that give rights: they go where the owner goes."""
_PERMISSIONS = 0o1777
"""What of a mode is kept where the owner is not: a set-user-ID program would become another user's."""
_TYPES = {tar.CHARACTER: stat.S_IFCHR, tar.DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}


class Attributes(NamedTuple):
    """What a file has besides its content. `mode` without its type; times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[bytes, bytes]


class Copy:
    """A copy into the folder `top` (a descriptor open for reading, which stays the caller's).

    `owner`: (uid, gid) of everything made; None keeps the source's, with set-user-ID bits, file capabilities, access
    lists and devices. `facts`: what was `left_out`, a count, with the first paths and reasons in `notes`.
    """

    def __init__(self, top: int, owner: tuple[int, int] | None = None) -> None:
        self._top = top
        self._owner = owner
        self._here: tuple[bytes, int] = b"", os.dup(top)
        self._links: dict[tuple[int, int], bytes] = {}
        self._folders: list[tuple[bytes, Attributes]] = []
        status = os.fstat(top)
        self._itself = status.st_dev, status.st_ino
        self.facts: dict[str, Any] = {"left_out": 0, "notes": []}

    def tree(self, changes: Iterable[Change], under: bytes = b"", *, top: bool = False) -> dict[str, Any]:
        """Everything of `layer.changes.merged`, or single files, below the folder `under`; the facts.

        `top`: the first folder's attributes are given to the target's too. Raises InvalidArgument for a file where a
        folder has to be, the other way round, and for a folder that is copied into itself.
        """
        with self:
            for change in changes:
                path = b"/".join(part for part in (under, change.path) if part)
                self._put(change, path, top=top)
        return self.facts

    def unreadable(self, path: bytes) -> None:
        """A folder of the source that may not be read."""
        self._leave_out(path, "the folder may not be read")

    def archive(self, entries: Iterable[tar.Entry], data: Callable[[], Iterator[memoryview]]) -> dict[str, Any]:
        """The members of a tar; `data` gives the content of the one at hand."""
        with self:
            for entry in entries:
                if path := clean(entry.name):
                    self._member(entry, path, data)
        return self.facts

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            while self._folders and not kind:  # last of all: what is put into a folder changes its time
                path, attributes = self._folders.pop()
                folder = self._folder(path)
                self._describe(folder, attributes)
        finally:
            os.close(self._here[1])

    # -- from a tree -----------------------------------------------------------------------------------------------

    def _put(self, change: Change, path: bytes, *, top: bool) -> None:
        mode = change.status.st_mode
        if stat.S_ISDIR(mode):
            if (change.status.st_dev, change.status.st_ino) == self._itself:
                raise InvalidArgument(
                    f"{show(change.path)} cannot be copied into itself", hint="choose a place outside of it"
                )
            if path or top:
                self._make_folder(path, _attributes(change.status, change.place))
        elif stat.S_ISREG(mode):
            self._regular(change, path)
        elif stat.S_ISLNK(mode):
            self._symlink(
                path, os.readlink(change.name, dir_fd=change.folder), _attributes(change.status, change.place)
            )
        elif stat.S_ISSOCK(mode):
            self._leave_out(path, "a socket, which means nothing without its program")
        else:
            self._node(path, stat.S_IFMT(mode), change.status.st_rdev, _attributes(change.status, change.place))

    def _regular(self, change: Change, path: bytes) -> None:
        try:
            source = os.open(change.name, _FILE, dir_fd=change.folder)
        except PermissionError:
            return self._leave_out(path, "it may not be read")
        except OSError as error:
            if error.errno not in _VANISHED:
                raise
            return None  # a running program was quicker: gone, or a link or a socket now
        try:
            status = os.fstat(source)
            first = self._links.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else path
            if stat.S_ISREG(status.st_mode) and (first == path or not self._link(first, path)):
                self._file(path, _attributes(status, source), lambda target: _content(source, target, status))
        finally:
            os.close(source)
        return None

    # -- from a tar ------------------------------------------------------------------------------------------------

    def _member(self, entry: tar.Entry, path: bytes, data: Callable[[], Iterator[memoryview]]) -> None:
        attributes = Attributes(entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs)
        self._make_missing(path.rpartition(b"/")[0])
        if entry.type == tar.DIRECTORY:
            self._make_folder(path, attributes)
        elif entry.type == tar.REGULAR:
            self._file(path, attributes, lambda target: _stream(data(), target, entry))
        elif entry.type == tar.SYMLINK:
            self._symlink(path, entry.link, attributes)
        elif entry.type == tar.LINK:
            if not self._link(clean(entry.link), path):
                raise InvalidArgument(
                    f"the hard link {show(path)} of the tar points at {show(entry.link)}, which is not there"
                )
        else:
            self._node(path, _TYPES[entry.type], os.makedev(entry.major, entry.minor), attributes)

    def _make_missing(self, path: bytes) -> None:
        """Folders that a tar does not list."""
        parts = path.split(b"/") if path else []
        for count in range(1, len(parts) + 1):
            above, name = b"/".join(parts[: count - 1]), parts[count - 1]
            if lstat(name, folder := self._folder(above)) is None:
                os.mkdir(name, 0o755, dir_fd=folder)

    # -- one thing each --------------------------------------------------------------------------------------------

    def _make_folder(self, path: bytes, attributes: Attributes) -> None:
        if path:
            above, name = self._parent(path)
            try:
                os.mkdir(name, 0o700, dir_fd=above)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=above).st_mode):
                    raise _clash(path, "there is no folder there, and a folder was to be put there") from None
        self._folders.append((path, attributes))

    def _file(self, path: bytes, attributes: Attributes, write: Callable[[int], None]) -> None:
        above, name = self._parent(path)
        self._make_room(above, name, path)
        try:
            target = os.open(name, _CREATE, 0o600, dir_fd=above)
        except FileExistsError:
            return self._overwrite(above, name, path, write)
        try:
            write(target)
            self._describe(target, attributes)
        except BaseException:
            os.unlink(name, dir_fd=above)
            raise
        finally:
            os.close(target)

    def _overwrite(self, above: int, name: bytes, path: bytes, write: Callable[[int], None]) -> None:
        """Something is mounted on it, /etc/hosts perhaps: it gets the content, and stays its owner's."""
        if not stat.S_ISREG(os.lstat(name, dir_fd=above).st_mode):
            raise _clash(path, "what is mounted there is no file")
        target = os.open(name, _OVERWRITE, dir_fd=above)
        try:
            write(target)
        finally:
            os.close(target)

    def _symlink(self, path: bytes, link: bytes, attributes: Attributes) -> None:
        above, name = self._parent(path)
        self._make_room(above, name, path)
        os.symlink(link, name, dir_fd=above)
        self._describe_named(above, name, attributes, link=True)

    def _node(self, path: bytes, kind: int, device: int, attributes: Attributes) -> None:
        if self._owner and kind != stat.S_IFIFO:  # for everybody who may read the copy
            return self._leave_out(path, "a device, which goes with its owner only")
        above, name = self._parent(path)
        self._make_room(above, name, path)
        try:
            os.mknod(name, kind | 0o600, device, dir_fd=above)
        except PermissionError:
            return self._leave_out(path, "a device, which only root can make")
        return self._describe_named(above, name, attributes, link=False)

    def _link(self, first: bytes, path: bytes) -> bool:
        """One more name for a file of this copy; False if that has gone."""
        above, name = self._parent(path)
        self._make_room(above, name, path)
        folder, _, source = first.rpartition(b"/")
        try:
            where = open_folder(self._top, folder)
        except OSError:
            return False
        try:
            os.link(source, name, src_dir_fd=where, dst_dir_fd=above, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EXDEV, errno.EPERM):
                raise
            return False
        finally:
            os.close(where)
        return True

    def _make_room(self, above: int, name: bytes, path: bytes) -> None:
        """Take away a file that is to be replaced. What is a mount point stays."""
        try:
            os.unlink(name, dir_fd=above)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            raise _clash(path, "there is a folder there, and a file was to be put there") from None
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise

    # -- where and how ---------------------------------------------------------------------------------------------

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        above, _, name = path.rpartition(b"/")
        return self._folder(above), name

    def _folder(self, path: bytes) -> int:
        """A folder of the target; good until the next is asked for."""
        if self._here[0] != path:
            try:
                folder = open_folder(self._top, path)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise _clash(path, "it is no folder") from None
            os.close(self._here[1])
            self._here = path, folder
        return self._here[1]

    def _describe(self, file: int, attributes: Attributes) -> None:
        """Owner, mode (chown(2) clears bits of it), extended attributes, times of an open file or folder."""
        uid, gid = self._owner or attributes[1:3]
        try:
            os.fchown(file, uid, gid)
        except OSError as error:
            self._foreign(error)
        os.fchmod(file, self._mode(attributes))
        for name, value in self._attributes(attributes):
            try:
                os.setxattr(file, name, value)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
                self._leave_out(name, "an extended attribute that the file system there does not take")
        os.utime(file, ns=(attributes.mtime_ns, attributes.mtime_ns))

    def _describe_named(self, above: int, name: bytes, attributes: Attributes, *, link: bool) -> None:
        uid, gid = self._owner or attributes[1:3]
        try:
            os.chown(name, uid, gid, dir_fd=above, follow_symlinks=False)
        except OSError as error:
            self._foreign(error)
        if not link:
            os.chmod(name, self._mode(attributes), dir_fd=above)
        times = attributes.mtime_ns, attributes.mtime_ns
        os.utime(name, ns=times, dir_fd=above, follow_symlinks=False)

    def _mode(self, attributes: Attributes) -> int:
        return attributes.mode & (_PERMISSIONS if self._owner else 0o7777)

    def _attributes(self, attributes: Attributes) -> Iterator[tuple[bytes, bytes]]:
        for name, value in attributes.xattrs.items():
            if not name.startswith(xattrs.OVERLAY) and not (self._owner and name.startswith(_KEPT_WITH_OWNER)):
                yield name, value

    def _foreign(self, error: OSError) -> None:
        """An owner that our user namespace does not know stays ours."""
        if error.errno != errno.EINVAL:
            raise error

    def _leave_out(self, path: bytes, reason: str) -> None:
        self.facts["left_out"] += 1
        if len(self.facts["notes"]) < _NOTED:
            self.facts["notes"].append(f"{show(path)[:300]}: {reason}")


def _clash(path: bytes, what: str) -> InvalidArgument:
    return InvalidArgument(f"{show(path)}: {what}", hint="remove what is there first, or choose another destination")


def _attributes(status: os.stat_result, place: int | bytes) -> Attributes:
    mode = stat.S_IMODE(status.st_mode)
    return Attributes(mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs.packed(place))


def _content(source: int, target: int, status: os.stat_result) -> None:
    """Holes stay holes. A file of the kernel (proc(5)) has no size and yet a content: it is read to its end."""
    if status.st_blocks or status.st_size > _PIECE:
        holes.copy(source, target)
        return
    while piece := os.read(source, _PIECE):
        _write(target, memoryview(piece))


def _stream(data: Iterator[memoryview], target: int, entry: tar.Entry) -> None:
    """The content of a tar's member; of a sparse one its parts."""
    if entry.map is not None:
        holes.write(target, data, entry.map, entry.size)
    else:
        for view in data:
            _write(target, view)


def _write(target: int, view: memoryview) -> None:
    while view:
        view = view[os.write(target, view) :]
