"""Mount options of the runtime-spec (config.md, Linux mount options) as mount(2) flags and mount_setattr(2) attributes."""

from __future__ import annotations

from collections.abc import Iterable

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import mounts as m

#: option: (flag, whether it is set)
_FLAGS: dict[str, tuple[int, bool]] = {
    "defaults": (0, True), "ro": (m.MS_RDONLY, True), "rw": (m.MS_RDONLY, False),
    "nosuid": (m.MS_NOSUID, True), "suid": (m.MS_NOSUID, False), "nodev": (m.MS_NODEV, True),
    "dev": (m.MS_NODEV, False), "noexec": (m.MS_NOEXEC, True), "exec": (m.MS_NOEXEC, False),
    "sync": (m.MS_SYNCHRONOUS, True), "async": (m.MS_SYNCHRONOUS, False), "dirsync": (m.MS_DIRSYNC, True),
    "remount": (m.MS_REMOUNT, True), "silent": (m.MS_SILENT, True), "loud": (m.MS_SILENT, False),
    "noatime": (m.MS_NOATIME, True), "atime": (m.MS_NOATIME, False), "nodiratime": (m.MS_NODIRATIME, True),
    "diratime": (m.MS_NODIRATIME, False), "relatime": (m.MS_RELATIME, True), "norelatime": (m.MS_RELATIME, False),
    "strictatime": (m.MS_STRICTATIME, True), "nostrictatime": (m.MS_STRICTATIME, False),
    "bind": (m.MS_BIND, True), "rbind": (m.MS_BIND | m.MS_REC, True),
}  # fmt: skip
PROPAGATION = {
    "private": m.MS_PRIVATE, "rprivate": m.MS_PRIVATE | m.MS_REC, "slave": m.MS_SLAVE, "rslave": m.MS_SLAVE | m.MS_REC,
    "shared": m.MS_SHARED, "rshared": m.MS_SHARED | m.MS_REC, "unbindable": m.MS_UNBINDABLE,
    "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}  # fmt: skip
#: The flags that mount_setattr(2) knows too: those a bind mount can have of its own.
_ATTRIBUTES = {
    m.MS_RDONLY: m.MOUNT_ATTR_RDONLY, m.MS_NOSUID: m.MOUNT_ATTR_NOSUID, m.MS_NODEV: m.MOUNT_ATTR_NODEV,
    m.MS_NOEXEC: m.MOUNT_ATTR_NOEXEC, m.MS_NODIRATIME: m.MOUNT_ATTR_NODIRATIME,
    m.MS_NOATIME: m.MOUNT_ATTR_NOATIME, m.MS_STRICTATIME: m.MOUNT_ATTR_STRICTATIME,
}  # fmt: skip
#: Every option that is not passed on to the file system as it is.
KNOWN = {
    *_FLAGS,
    *PROPAGATION,
    "tmpcopyup",
    *(f"r{name}" for name in _FLAGS if name not in ("bind", "rbind", "remount")),
}
_TIMES = m.MOUNT_ATTR_NOATIME | m.MOUNT_ATTR_STRICTATIME
_RELATIME = {"relatime", "rrelatime"}


class Options:
    """The parsed options of one mount.

    `flags` for mount(2); `set`/`clear` for mount_setattr(2) on that mount, `set_all`/`clear_all` on everything below
    it (the `r…` forms); `propagation` for mount(2); `copy_up` for tmpfs; `data` is what only the file system knows.
    """

    def __init__(self, options: Iterable[str]) -> None:
        self.flags = self.set = self.clear = self.set_all = self.clear_all = self.propagation = 0
        self.copy_up = False
        self.recursive = False
        data = []
        for option in options:
            if not self._known(option):
                data.append(option)
        self.data = ",".join(data)

    @property
    def bind(self) -> bool:
        return bool(self.flags & m.MS_BIND)

    def _known(self, option: str) -> bool:
        if option in _FLAGS:
            self._flag(*_FLAGS[option], relatime=option in _RELATIME, deep=False)
        elif option in PROPAGATION:
            self.propagation = PROPAGATION[option]
        elif option == "tmpcopyup":
            self.copy_up = True
        elif option[:1] == "r" and option[1:] in _FLAGS and option[1:] not in ("bind", "emount"):
            self._flag(*_FLAGS[option[1:]], relatime=option in _RELATIME, deep=True)
        elif option in ("idmap", "ridmap"):
            raise CreateFailed(
                f"mount option {option!r}: id-mapped mounts are not supported", stage="mounts", exit_code=125
            )
        else:
            return False
        return True

    def _flag(self, flag: int, on: bool, *, relatime: bool, deep: bool) -> None:
        if not deep:
            self.flags = self.flags | flag if on else self.flags & ~flag
        attribute = _ATTRIBUTES.get(flag, 0)
        set_, clear = (attribute, 0) if on else (0, attribute)
        if attribute & _TIMES or relatime:
            clear = m.MOUNT_ATTR__ATIME  # the access-time modes share a field, which must be cleared as a whole
        name = "_all" if deep else ""
        old_set, old_clear = getattr(self, "set" + name), getattr(self, "clear" + name)
        setattr(self, "set" + name, old_set & ~clear | set_)
        setattr(self, "clear" + name, old_clear & ~set_ | clear)
