"""One cgroup in one hierarchy: a folder of kernel files that are opened, never created.

Every descriptor is checked to lie on the very file system that mountinfo named, before a byte is written: on a tmpfs
left where a hierarchy is not mounted, a create would make a plain file and the limit would be silently lost.
Absolute paths cost 0.5 µs a call more than openat(2) here, and leave no descriptors to keep or leak.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator

from nbcontainers.cgroups.cgroup import PARENT
from nbcontainers.errors import InvalidState

READ = os.O_RDONLY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CLOEXEC
#: How long to wait for killed processes to leave; one in the D state may take longer.
REMOVE_S = 5.0
FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW


class Folder:
    """`path` below a cgroup mount whose files have `device` as their st_dev. All methods raise OSError."""

    __slots__ = ("device", "path")

    def __init__(self, path: str, device: int) -> None:
        self.path = path
        self.device = device

    def open(self, name: str, flags: int = READ) -> int:
        path = f"{self.path}/{name}" if name else self.path
        fd = os.open(path, flags)
        if os.fstat(fd).st_dev != self.device:
            os.close(fd)
            raise OSError(errno.ENODEV, "not on the cgroup file system it was found on", path)
        return fd

    def read(self, name: str) -> str:
        """The whole file; FileNotFoundError also where the cgroup is removed in the meantime."""
        fd = self.open(name)
        try:
            chunks = [os.read(fd, 65536)]
            while chunks[-1]:  # seq_file gives about a page at a time
                chunks.append(os.read(fd, 65536))
            return b"".join(chunks).decode().strip()
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            raise FileNotFoundError(errno.ENOENT, "the cgroup was removed", f"{self.path}/{name}") from None
        finally:
            os.close(fd)

    def write(self, name: str, *values: str) -> None:
        """Each value in a write(2) of its own."""
        fd = self.open(name, WRITE)
        try:
            for value in values:
                os.write(fd, value.encode())
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), f"{self.path}/{name}") from None
        finally:
            os.close(fd)

    def has(self, name: str) -> bool:
        return os.path.exists(f"{self.path}/{name}")

    def child(self, name: str) -> Folder:
        return Folder(f"{self.path}/{name}", self.device)

    @property
    def parent(self) -> Folder:
        return Folder(os.path.dirname(self.path), self.device)

    def make(self) -> None:
        """mkdir(2) and proof that it made a cgroup."""
        os.mkdir(self.path)
        try:
            os.close(self.open("", FOLDER))
        except OSError:
            os.rmdir(self.path)
            raise

    def children(self) -> Iterator[Folder]:
        """The cgroups right below."""
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return map(self.child, names)

    def tree(self) -> Iterator[Folder]:
        """This cgroup and all below it, the deepest first."""
        try:
            for child in self.children():
                yield from child.tree()
        except FileNotFoundError:
            return
        yield self

    def procs(self) -> list[int]:
        """Pids in this cgroup and all below; 0 for processes of a pid namespace we don't see, left out."""
        found: set[int] = set()
        for folder in self.tree():
            try:
                found.update(map(int, folder.read("cgroup.procs").split()))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):  # removed meanwhile
                    raise
        found.discard(0)
        return sorted(found)

    def remove(self) -> None:
        """rmdir(2) of this cgroup and all below. OSError EBUSY while there are processes; gone already is fine."""
        try:
            os.rmdir(self.path)
            return
        except FileNotFoundError:
            return
        except OSError as error:  # cgroupfs says EBUSY for children and for processes
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
        for folder in self.tree():
            try:
                os.rmdir(folder.path)
            except FileNotFoundError:
                continue


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll with sleeps from 0.1 ms up to 10 ms; False when the time is up."""
    pause, deadline = 0.0001, time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.01)
    return True


def signal_all(folder: Folder) -> None:
    """SIGKILL to everything inside, until a look finds nobody new: forks go on between look and signal."""
    seen: set[int] = set()
    for _ in range(100):
        new = set(folder.procs()) - seen
        if not new:
            return
        for pid in new:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        seen |= new


def remove_all(folders: list[Folder], kill: Callable[[], None]) -> None:
    """Remove every cgroup; while one has processes, `kill()` and wait. Raises InvalidState saying what remains.

    rmdir(2) right after an exit may still say EBUSY: the last task leaves its cgroup a moment after its parent saw
    it die. Parents that hold only our containers go with the last of them.
    """
    left = folders

    def gone() -> bool:
        nonlocal left
        left = [folder for folder in left if not _removed(folder)]
        if left:
            kill()
        return not left

    if not wait_until(gone, REMOVE_S):
        pids = sorted({pid for folder in left for pid in folder.procs()})
        paths = ", ".join(folder.path for folder in left)
        raise InvalidState(
            f"cgroup {paths} cannot be removed: it holds " + (f"processes {pids}" if pids else "no visible process"),
            hint=f"ps -o pid,stat,wchan:30,cmd -p {','.join(map(str, pids))}" if pids else "",
        )
    for folder in folders:
        _remove_parent(folder)


def _removed(folder: Folder) -> bool:
    try:
        folder.remove()
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def _remove_parent(folder: Folder) -> None:
    parent = os.path.dirname(folder.path)
    if os.path.basename(parent) == PARENT:
        try:
            os.rmdir(parent)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT, errno.EACCES):
                raise
