"""Putting files into a stage's root as COPY and ADD do: owners, modes, times, links, archives.

`Putter` writes below a descriptor and cannot leave it: links of the destination are followed inside (layer/tree.py).
Order within a file: data, owner, mode, attributes, times; a folder gets its own when all is in it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Sequence
from typing import NamedTuple

from nbcontainers.builder.selection import Match, Root
from nbcontainers.dockerfile import value
from nbcontainers.errors import BuildError, ImageError
from nbcontainers.layer import codec, holes, tar, xattrs
from nbcontainers.layer.tree import Tree, lstat, show
from nbcontainers.linux import inroot

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 24
_MOST_LINKS = 40


class Rights(NamedTuple):
    """`owner`: (uid, gid) of everything put, None to keep that of the source; `mode`: --chmod's text; `squash`: all
    becomes ours; then devices are left out, and nobody else's program is one that runs as its owner, as in layer/unpack.py."""

    owner: tuple[int, int] | None
    mode: str
    squash: bool = False


class Putter:
    """Writes into the tree below `root`, a descriptor of the folder at `path`. The umask must be 0."""

    def __init__(self, root: int, path: str, rights: Rights) -> None:
        self.root, self.path, self.rights = root, path, rights
        self.tree = Tree(root, tar.Budget())
        self._links: dict[tuple[int, int], str] = {}
        self._linked_files: dict[str, tuple[int, int]] = {}

    def close(self) -> None:
        self.tree.close()

    def folder(self, path: str, *, above: bool = False) -> int:
        """A descriptor (the tree's own) of the folder, made with those above it: of the owner, and 0755, or `above`
        what gets an octal mode of --chmod that mode, as BuildKit has it."""
        try:
            descriptor = self.tree.folder(os.fsencode(path.strip("/")))
        except NotADirectoryError:
            hint = "a part of this path is a file: choose another path"
            raise BuildError(f"{path} cannot be a folder", hint=hint) from None
        if not self.tree.implicit:
            return descriptor
        for made in list(self.tree.implicit):
            here = f"/proc/self/fd/{self.tree.folder(made)}"  # by name a link on the way would lead out of the root
            if self.rights.owner and not self.rights.squash:
                os.chown(here, *self.rights.owner)
            if above and self.rights.mode.isdigit():
                os.chmod(here, value.chmod(self.rights.mode))
        self.tree.implicit.clear()
        return self.tree.folder(os.fsencode(path.strip("/")))

    def is_folder(self, path: str) -> bool:
        try:
            os.close(inroot.open_path(self.root, path or "/", os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def put(self, source: Root, match: Match, destination: str, *, parents: bool) -> None:
        """One match to where it belongs: below `destination` if that is a folder or ends with a slash, in the place of
        what has its name there; else there, or where a link of that name leads."""
        if parents:
            for name, real in match.above:
                self._one(source, real, f"{destination}/{name}", within=True)
            target = f"{destination}/{match.name}"
        elif match.is_folder:
            target = destination
        elif not (destination.endswith("/") or self.is_folder(destination)):
            target = self._follow(destination)
        else:
            target = f"{destination}/{match.name}"
        if not match.is_folder:
            self._one(source, match.path, target, within=False)
            return
        if parents and match.name:
            self._one(source, match.path, target, within=True)
        self.contents(source, match, target)

    def contents(self, source: Root, match: Match, target: str) -> None:
        """The members of a folder into a folder, which is made if need be."""
        if not self.is_folder(target) and self._there(target) is not None:
            raise BuildError(f"a folder cannot take the place of the file {target}", hint="copy it to another path")
        self.folder(target)
        folders: list[tuple[str, os.stat_result]] = []
        for name in match.members:
            path = f"{match.path}/{name}" if match.path else name
            facts = os.lstat(source.full(path))
            if stat.S_ISDIR(facts.st_mode):
                folders.append((name, facts))
            self._one(source, path, f"{target}/{name}", within=True)
        for name, facts in reversed(folders):  # what was put in changed their times
            self._times(f"{target}/{name}", facts)

    def text(self, content: bytes, destination: str, name: str) -> None:
        """A file of the Dockerfile's own: 0644, of the owner, its time that of now."""
        below = destination.endswith("/") or self.is_folder(destination)
        target = f"{destination}/{name}" if below else self._follow(destination)
        parent, last = self._place(target)
        self._make_room(parent, last, target, within=False)
        file = os.open(last, _NEW, 0o600, dir_fd=parent)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
            self._rights(file, stat.S_IFREG | 0o644, self.rights.owner or (0, 0))
        finally:
            os.close(file)

    def _one(self, source: Root, path: str, target: str, *, within: bool) -> None:
        """One file, folder (without its contents) or link; `within` a folder that is copied, links stay links."""
        full = source.full(path)
        facts = os.lstat(full)
        kind = stat.S_IFMT(facts.st_mode)
        if self._is_left_out(kind, facts):
            return
        parent, name = self._place(target)
        if kind == stat.S_IFDIR:
            self._folder(full, facts, parent, name, target)
            return
        parent = self._make_room(parent, name, target, within=within)
        if facts.st_nlink > 1 and self._linked(facts, parent, name, target):
            return
        if kind == stat.S_IFREG:
            self._file(source.open(path), parent, name)
        elif kind == stat.S_IFSOCK:  # which a layer cannot hold: an empty file, as BuildKit sends it
            os.close(os.open(name, _NEW, 0o600, dir_fd=parent))
            self._finish(full, facts, parent, name)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(full), name, dir_fd=parent)
            self._finish(full, facts, parent, name)
        else:
            os.mknod(name, kind | 0o600, facts.st_rdev, dir_fd=parent)
            self._finish(full, facts, parent, name)

    def _is_left_out(self, kind: int, facts: os.stat_result) -> bool:
        """A whiteout, which would hide what is below; a device, where they are not to be made."""
        is_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        return is_device and (self.rights.squash or (kind == stat.S_IFCHR and facts.st_rdev == 0))

    def _place(self, target: str) -> tuple[int, str]:
        folder, _, name = target.rstrip("/").rpartition("/")
        if not name:
            raise BuildError("a file cannot take the place of the root folder", hint="write a path below /")
        return self.folder(folder, above=True), name

    def _follow(self, target: str) -> str:
        """Where a link at the destination leads, as a process in there would write to it; else the same path."""
        facts = self._there(target)
        if facts is None or not stat.S_ISLNK(facts.st_mode):
            return target
        try:
            found = inroot.open_path(self.root, target)
        except FileNotFoundError:
            return self._end_of(target)
        except OSError:
            return target
        try:
            real = os.readlink(f"/proc/self/fd/{found}")[len(self.path) :]
        finally:
            os.close(found)
        return real if real.strip("/") else target

    def _end_of(self, target: str) -> str:
        """Where a link leads that leads to nothing yet: there the file is made, with the folders on the way."""
        for _ in range(_MOST_LINKS):
            parent, name = self._place(target)
            try:
                link = os.readlink(name, dir_fd=parent)
            except OSError:  # it is none: there it ends
                return target
            target = posixpath.normpath(posixpath.join("/", posixpath.dirname(target), link))
        raise BuildError(f"too many links on the way to {target}", hint="copy it to another path")

    def _there(self, target: str) -> os.stat_result | None:
        parent, name = self._place(target)
        return lstat(os.fsencode(name), parent)

    def _make_room(self, parent: int, name: str, target: str, *, within: bool) -> int:
        """Remove what a file takes the place of: within a folder that is copied that may be a folder, as with tar. The
        parent's descriptor."""
        facts = lstat(os.fsencode(name), parent)
        if facts is None:
            return parent
        if stat.S_ISDIR(facts.st_mode) and not within:
            hint = "end the destination with a slash to copy into it"
            raise BuildError(
                f"a file cannot take the place of the folder {show(os.fsencode(target.strip('/')))}", hint=hint
            )
        if stat.S_ISDIR(facts.st_mode):
            for path in [one for one in self._linked_files if one.startswith(f"{target}/")]:
                self._forget(path)
        return self._removed(parent, name, target)

    def _removed(self, parent: int, name: str, target: str) -> int:
        self.tree.remove(parent, os.fsencode(name))
        self._forget(target)
        return self._place(target)[0]

    def _forget(self, target: str) -> None:
        """No later name of the same source is linked to what is gone from there."""
        if key := self._linked_files.pop(target, None):
            del self._links[key]

    def _folder(self, full: str, facts: os.stat_result, parent: int, name: str, target: str) -> None:
        there = lstat(os.fsencode(name), parent)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            parent, there = self._removed(parent, name, target), None
        if there is None:
            os.mkdir(name, 0o700, dir_fd=parent)
        self._finish(full, facts, parent, name)

    def _file(self, source: int, parent: int, name: str) -> None:
        """A regular file of the open one, which is closed. What is another thing by now was exchanged under us."""
        try:
            facts = os.fstat(source)
            if not stat.S_ISREG(facts.st_mode):
                raise BuildError(f"{name} changed while it was copied", hint="build again when nothing writes there")
            file = os.open(name, _NEW, 0o600, dir_fd=parent)
            try:
                _data(source, file, facts.st_size)
                self._rights(file, facts.st_mode, (facts.st_uid, facts.st_gid))
                _attributes(source, file)
                os.utime(file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
            finally:
                os.close(file)
        finally:
            os.close(source)

    def _rights(self, file: int, mode: int, owner: tuple[int, int]) -> None:
        if not self.rights.squash:
            os.fchown(file, *(self.rights.owner or owner))
        os.fchmod(file, self._mode(mode, owner))

    def _finish(self, full: str, facts: os.stat_result, parent: int, name: str) -> None:
        """Owner, mode, attributes and times of what is no regular file."""
        is_link = stat.S_ISLNK(facts.st_mode)
        if not self.rights.squash:
            os.chown(name, *(self.rights.owner or (facts.st_uid, facts.st_gid)), dir_fd=parent, follow_symlinks=False)
        if not is_link:
            os.chmod(name, self._mode(facts.st_mode, (facts.st_uid, facts.st_gid)), dir_fd=parent)
            _attributes(
                full.encode("utf-8", "surrogateescape"),
                f"/proc/self/fd/{parent}/{name}".encode("utf-8", "surrogateescape"),
            )
        os.utime(name, ns=(facts.st_mtime_ns, facts.st_mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _mode(self, mode: int, owner: tuple[int, int]) -> int:
        """`owner` as it is in the source."""
        bits, is_folder = stat.S_IMODE(mode), stat.S_ISDIR(mode)
        bits = value.chmod(self.rights.mode, bits, is_folder) if self.rights.mode else bits
        taken = self.rights.squash and any(self.rights.owner or owner) and not is_folder
        return bits & 0o1777 if taken else bits

    def _times(self, target: str, facts: os.stat_result) -> None:
        parent, name = self._place(target)
        os.utime(name, ns=(facts.st_mtime_ns, facts.st_mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _linked(self, facts: os.stat_result, parent: int, name: str, target: str) -> bool:
        """Whether this is one more name of a file that was put already."""
        key = (facts.st_dev, facts.st_ino)
        first = self._links.setdefault(key, target)
        if first == target:
            self._linked_files[target] = key
            return False
        above, last = self._place(first)
        above = os.dup(above)
        try:
            os.link(last, name, src_dir_fd=above, dst_dir_fd=self._place(target)[0], follow_symlinks=False)
        finally:
            os.close(above)
        return True


def _data(source: int, file: int, size: int) -> None:
    """The bytes, without touching holes. A file that grows meanwhile is cut."""
    for start, end in holes.extents(source, size):
        os.lseek(file, start, os.SEEK_SET)
        while start < end:
            sent = os.sendfile(file, source, start, min(end - start, _PIECE))
            if not sent:
                return
            start += sent
    os.ftruncate(file, size)


def _attributes(source: int | bytes, target: int | bytes) -> None:
    """What a layer carries; what this process may not set (in a user namespace) is left out."""
    for name, content in xattrs.packed(source).items():
        try:
            os.setxattr(target, name, content)
        except PermissionError:
            continue


def is_archive(path: str) -> bool:
    """Whether a file is a tar, compressed or not, by its content."""
    with open(path, "rb") as file:
        try:
            return next(iter(tar.Reader(codec.chunks(file))), None) is not None
        except ImageError:
            return False


def members(root: Root, paths: Sequence[str] = ("",)) -> Match:
    """A whole folder as a match."""
    return Match(paths[0], "", True, tuple(root.below(paths[0])))
