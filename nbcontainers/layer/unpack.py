"""One layer's tar into one folder, in overlay form (image-spec layer.md, "Applying Changesets").

Decisions where implementations differ, and what an attacker may try:
  the last member of a path wins; a folder over a folder only changes its attributes
  whiteouts concern the layers below only, wherever they stand in the tar
  `..`, absolute names and links end at the layer's root; a member through a link *of the layer* follows it inside,
    through a link of a layer below it makes a folder (as overlayfs would see it)
  a hard link to a file of a layer below copies that file up first; to anything else that is not there: an error
  folders that the layer does not list but puts something into take their attributes from the layers below
  character device 0:0 and the xattrs trusted.overlay.*, user.overlay.* mean something to overlayfs: never taken over
  in a user namespace devices cannot be made (mknod(2)): they are left out and counted; with a one-entry id map all
    files become ours, and then lose set-user-ID and set-group-ID
Order within a file: data, owner, mode (chown(2) clears bits), xattrs, times; folders get theirs last.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from nbcontainers.errors import ImageError
from nbcontainers.layer import holes, lower, tar, xattrs
from nbcontainers.layer.tree import Tree, clean, lstat, show

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WHITEOUT = b".wh."
_MOST_KNOWN = 4096


class Layer:
    """A layer on its way into the folder `root` (a descriptor). First `extract`, then `finish`.

    The umask must be 0. `squash`: all files belong to us, whatever the tar says.
    """

    def __init__(self, root: int, *, userxattr: bool, squash: bool = False, budget: tar.Budget | None = None) -> None:
        self._budget = budget or tar.Budget()
        self.tree = Tree(root, self._budget)
        self.tree.implicit[b""] = None
        self._opaque_xattr = lower.OPAQUE[1 if userxattr else 0]
        self._rootless = userxattr
        self._squash = squash
        self._folders: dict[bytes, tar.Entry] = {}
        self._whiteouts: dict[bytes, None] = {}
        self._opaque: dict[bytes, bool] = {}  # True: a folder that replaces the one below, attributes and all
        self._links: dict[bytes, bytes] = {}  # to files that are not in this layer
        self._copied: set[bytes] = set()
        self._hiding: dict[bytes, bool] = {}  # what `_hides_in` found
        self.facts = {"entries": 0, "size": 0, "devices_left_out": 0, "xattrs_left_out": 0}

    # The first half: needs nothing but the tar.

    def extract(self, pieces: Iterator[bytes]) -> None:
        """Unpack the whole stream. Raises ImageError, and OSError when the disk is full and the like."""
        reader = tar.Reader(pieces, self._budget)
        for entry in reader:
            path = clean(entry.name)
            try:
                self._member(reader, entry, path)
            except OSError as error:
                raise self._explain(error, path) from None
        reader.drain()

    def _explain(self, error: OSError, path: bytes) -> Exception:
        """What the layer asks for and no file system gives is the layer's fault; a full disk is not."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENOMEM):
            return error
        return ImageError(f"the layer's member {show(path)[:300]} cannot be made: {error.strerror}", errno=error.errno)

    def _member(self, reader: tar.Reader, entry: tar.Entry, path: bytes) -> None:
        above, _, name = path.rpartition(b"/")
        if name.startswith(_WHITEOUT):
            self.facts["entries"] += 1
            self._whiteout(above, name)
        else:
            self._put(reader, entry, path)

    def _put(self, reader: tar.Reader, entry: tar.Entry, path: bytes) -> None:
        self.facts["entries"] += 1
        above, _, name = path.rpartition(b"/")
        if entry.type == tar.DIRECTORY:
            self._folder(entry, path, above, name)
        elif not path:
            raise ImageError("the layer replaces the root folder by something else")
        elif entry.type == tar.REGULAR:
            self._file(reader, entry, above, name)
        else:
            self._special(entry, path, above, name)

    def _whiteout(self, above: bytes, name: bytes) -> None:
        target = name[len(_WHITEOUT) :]
        self.tree.count_name(above)
        if target == b".wh..opq":
            self._opaque[above] = False
        elif target.startswith(_WHITEOUT):
            pass  # .wh..wh.aufs, .wh..wh.plnk, … are aufs' own
        elif target in (b"", b".", b".."):
            raise ImageError(f"the whiteout {show(above + b'/' + name)} names nothing that could be removed")
        else:
            self._whiteouts[above + b"/" + target if above else target] = None

    def _folder(self, entry: tar.Entry, path: bytes, above: bytes, name: bytes) -> None:
        if path:
            parent = self.tree.folder(above)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    self.tree.remove(parent, name)
                    os.mkdir(name, 0o700, dir_fd=self.tree.folder(above))
            self._links.pop(path, None)
        if path not in self._folders and path not in self.tree.implicit:
            self.tree.count_folder(path)
        self.tree.implicit.pop(path, None)
        self._folders[path] = entry

    def _file(self, reader: tar.Reader, entry: tar.Entry, above: bytes, name: bytes) -> None:
        descriptor = self._create(entry, above, name)
        try:
            if entry.map is not None:
                holes.write(descriptor, reader.data(), entry.map, entry.size)
            elif (view := reader.whole()) is None:
                for view in reader.data():
                    write(descriptor, view)
            elif view:
                write(descriptor, view)
            self.facts["size"] += entry.size
            self._attributes(descriptor, entry)
        finally:
            os.close(descriptor)

    def _create(self, entry: tar.Entry, above: bytes, name: bytes) -> int:
        parent = self.tree.folder(above)
        if self._links:
            self._links.pop(above + b"/" + name if above else name, None)
        try:
            return os.open(name, _CREATE, entry.mode & 0o777, dir_fd=parent)
        except FileExistsError:
            self.tree.remove(parent, name)
            return os.open(name, _CREATE, entry.mode & 0o777, dir_fd=self.tree.folder(above))

    def _special(self, entry: tar.Entry, path: bytes, above: bytes, name: bytes) -> None:
        """Links, devices and FIFOs: what has no descriptor to work on."""
        parent = self.tree.folder(above)
        if lstat(name, parent):
            self.tree.remove(parent, name)
            parent = self.tree.folder(above)
        self._links.pop(path, None)
        if entry.type == tar.LINK:
            self._hard_link(entry, path, parent, name)
            return
        if entry.type == tar.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent)
        elif not self._make_node(entry, parent, name):
            self.facts["devices_left_out"] += 1
            return
        self._owner(name, entry, parent)
        if entry.type != tar.SYMLINK:
            os.chmod(name, self._mode(entry), dir_fd=parent)
        if entry.xattrs:
            self._xattrs(f"/proc/self/fd/{parent}/".encode() + name, entry)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _make_node(self, entry: tar.Entry, parent: int, name: bytes) -> bool:
        if entry.type == tar.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
            return True
        device = os.makedev(entry.major & 0xFFF, entry.minor & 0xFFFFF)
        if entry.type == tar.CHARACTER and device == 0:
            return False  # would be a whiteout
        kind = stat.S_IFCHR if entry.type == tar.CHARACTER else stat.S_IFBLK
        try:
            os.mknod(name, kind | 0o600, device, dir_fd=parent)
        except PermissionError:
            if not self._rootless:
                raise
            return False
        return True

    def _hard_link(self, entry: tar.Entry, path: bytes, parent: int, name: bytes) -> None:
        """Links to what is in this layer are made now, others when the layers below are there."""
        target = clean(entry.link)
        above, _, source = target.rpartition(b"/")
        if not source or target == path:
            raise ImageError(f"the hard link {show(path)} points at {show(target)}")
        try:
            folder = self.tree.folder(above, make=False)
            os.link(source, name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            self._links[path] = target
            self.tree.count_name(path + target)

    # Attributes.

    def _mode(self, entry: tar.Entry) -> int:
        squashed = self._squash and (entry.uid or entry.gid) and entry.type != tar.DIRECTORY
        return entry.mode & 0o1777 if squashed else entry.mode

    def _attributes(self, descriptor: int, entry: tar.Entry, *, always: bool = False) -> None:
        """Of an open file or folder. `always`: also the owner and mode that a new file of ours has by itself."""
        if always or ((entry.uid or entry.gid) and not self._squash):
            self._owner(descriptor, entry, None)
        if always or entry.mode & 0o7000:
            os.fchmod(descriptor, self._mode(entry))
        if entry.xattrs:
            self._xattrs(descriptor, entry)
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))

    def _owner(self, file: int | bytes, entry: tar.Entry, parent: int | None) -> None:
        if self._squash:
            return
        try:
            if isinstance(file, int):
                os.fchown(file, entry.uid, entry.gid)
            else:
                os.chown(file, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ImageError(
                f"a file of the layer belongs to {entry.uid}:{entry.gid}, an id that this user namespace does not have",
                hint="give yourself a larger range in /etc/subuid and /etc/subgid, or run as root",
            ) from None

    def _xattrs(self, file: int | bytes, entry: tar.Entry) -> None:
        for name, value in entry.xattrs.items():
            if name.startswith(xattrs.OVERLAY):
                self.facts["xattrs_left_out"] += 1
                continue
            try:
                if isinstance(file, int):
                    os.setxattr(file, name, value)
                else:
                    os.setxattr(file, name, value, follow_symlinks=False)
            except OSError as error:
                unsupported = error.errno == errno.ENOTSUP or (error.errno == errno.EPERM and not _is_user(name, file))
                if not unsupported and not (error.errno == errno.EPERM and self._rootless):
                    raise
                self.facts["xattrs_left_out"] += 1

    # The second half: needs the layers below, unpacked.

    def finish(self, below: Sequence[int]) -> dict[str, Any]:
        """Whiteouts, links and folders that depend on the layers below (descriptors, top first); what was made."""
        view = lower.View(below)
        try:
            for path, target in self._links.items():
                self._link_to_lower(path, target, view)
            self._apply_opaque(view)
            self._apply_whiteouts(view)
            self._implicit_folders(view)
            self._finish_folders()
        except OSError as error:
            raise self._explain(error, b"") from None
        finally:
            self.tree.close()
        return self.facts | {"opaque_root": b"" in self._opaque}

    def _link_to_lower(self, path: bytes, target: bytes, below: lower.View) -> None:
        found = below.find(target)
        if found is None or stat.S_ISDIR(found.status.st_mode) or self._hidden(target):
            raise ImageError(f"the hard link {show(path)} points at {show(target)}, which is not there")
        source_above, _, source = target.rpartition(b"/")
        above, _, name = path.rpartition(b"/")
        folder = self.tree.folder(source_above)
        if target not in self._copied:
            if lstat(source, folder):
                raise ImageError(f"the hard link {show(path)} points at {show(target)}, which comes after it")
            copy_up(found, folder, source)
            self._copied.add(target)
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=self.tree.folder(above), follow_symlinks=False)

    def _hidden(self, path: bytes, *, itself: bool = True) -> bool:
        """Whether this layer hides what the layers below have at that path."""
        return (itself and path in self._whiteouts) or (bool(path) and self._hides_in(path.rpartition(b"/")[0]))

    def _hides_in(self, folder: bytes) -> bool:
        """Whether this layer hides what is in a folder below; what is known of the folders above is used again."""
        if not self._whiteouts and not self._opaque:
            return False
        missing = []
        while (known := self._hiding.get(folder)) is None and folder:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        found = bool(known) or folder in self._opaque
        for folder in reversed(missing):
            found = found or folder in self._opaque or folder in self._whiteouts
            if len(self._hiding) >= _MOST_KNOWN:
                self._hiding.clear()
            self._hiding[folder] = found
        return found

    def _apply_opaque(self, below: lower.View) -> None:
        """Also a folder of this layer whose name the layer whites out: it replaces the one below."""
        for path in sorted(self._whiteouts):
            status = self._in_this_layer(path)
            if status is not None:
                del self._whiteouts[path]
                if stat.S_ISDIR(status.st_mode):
                    self._opaque[path] = True
        self._hiding.clear()
        for path in sorted(self._opaque):
            if self._in_this_layer(path) or (below.find(path) and not self._hidden(path)):
                os.setxattr(f"/proc/self/fd/{self.tree.folder(path)}", self._opaque_xattr, b"y")

    def _in_this_layer(self, path: bytes) -> os.stat_result | None:
        above, _, name = path.rpartition(b"/")
        try:
            return lstat(name or b".", self.tree.folder(above, make=False))
        except FileNotFoundError:
            return None

    def _apply_whiteouts(self, below: lower.View) -> None:
        """Only where there is something to hide: elsewhere readdir(3) would show the device."""
        for path in sorted(self._whiteouts):
            above, _, name = path.rpartition(b"/")
            if below.find(path) and not self._hidden(path, itself=False):
                os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=self.tree.folder(above))

    def _implicit_folders(self, below: lower.View) -> None:
        for path in self.tree.implicit:
            found = below.find(path)
            inherits = not self._opaque.get(path) and not self._hidden(path)
            as_below = found and stat.S_ISDIR(found.status.st_mode) and inherits
            self._folders[path] = like(found) if found and as_below else _plain()

    def _finish_folders(self) -> None:
        """From the inside out: what is in a folder may change its time, and its mode may close it."""
        for path in sorted(self._folders, reverse=True):
            descriptor = self.tree.existing(path)
            if descriptor is not None:  # else something else took its place
                try:
                    self._attributes(descriptor, self._folders[path], always=True)
                finally:
                    os.close(descriptor)


def write(descriptor: int, view: memoryview) -> None:
    done = os.write(descriptor, view)
    while done < len(view):
        done += os.write(descriptor, view[done:])


def squashes() -> bool:
    """Whether only our own id exists here: no root, or a user namespace with a one-entry map."""
    with open("/proc/self/uid_map", "rb") as map_:
        ranges = map_.read().split()[2::3]
    return os.geteuid() != 0 or sum(map(int, ranges)) == 1


def _is_user(name: bytes, file: int | bytes) -> bool:
    """EPERM on user.* means: not on a link or a device, xattr(7); elsewhere it is an error."""
    return name.startswith(b"user.") and isinstance(file, int)


def _plain() -> tar.Entry:
    """A folder of which nothing is said: root's, 0755, and not of the time it happened to be made at."""
    entry = tar.Entry()
    entry.type, entry.mode = tar.DIRECTORY, 0o755
    return entry


def like(found: lower.Found) -> tar.Entry:
    """An entry with the attributes of something in a layer below."""
    entry, status = tar.Entry(), found.status
    entry.type = tar.DIRECTORY if stat.S_ISDIR(status.st_mode) else tar.REGULAR
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    entry.mtime_ns = status.st_mtime_ns
    entry.xattrs = xattrs.read(f"/proc/self/fd/{found.layer}/".encode() + found.path)
    return entry


def copy_up(found: lower.Found, folder: int, name: bytes) -> None:
    """What overlayfs does before a change: the file with all its attributes into this layer."""
    status, entry = found.status, like(found)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(found.path, dir_fd=found.layer), name, dir_fd=folder)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(found, folder, name)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=folder)
    os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, entry.mode, dir_fd=folder)
    place = f"/proc/self/fd/{folder}/".encode() + name
    for key, value in entry.xattrs.items():
        os.setxattr(place, key, value, follow_symlinks=False)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)


def _copy_file(found: lower.Found, folder: int, name: bytes) -> None:
    source = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.layer)
    try:
        target = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            holes.copy(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)
